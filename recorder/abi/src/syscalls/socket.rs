//! Sockets.

use super::names::*;
use super::rows::*;
use Ty::*;

/// Socket address coming back; the length behind argument `len` counts it.
const fn address(len: u8) -> Ty {
    Out(Buf::Sized { len })
}

pub(super) const CALLS: &[Call] = calls! {
    41 socket(domain: Enum(FAMILIES), type: SOCKET_TYPE, protocol: Int).gives(Ret::Fd);
    42 connect(sockfd: Fd, addr: reads_len(Len::Arg(2)), addrlen: Uint).blocks().publishes();
    43 accept(sockfd: Fd, addr: address(2), addrlen: inout(4)).blocks().gives(Ret::Fd);
    44 sendto(sockfd: Fd, buf: reads_len(Len::Arg(2)), len: Uint, flags: Flags(MSG),
        dest_addr: reads_len(Len::Arg(5)), addrlen: Uint).blocks().publishes();
    45 recvfrom(sockfd: Fd, buf: filled(2), len: Uint, flags: Flags(MSG), src_addr: address(5),
        addrlen: inout(4)).blocks();
    46 sendmsg(sockfd: Fd, msg: In(Buf::Msghdr), flags: Flags(MSG)).blocks().publishes();
    47 recvmsg(sockfd: Fd, msg: Out(Buf::Msghdr), flags: Flags(MSG)).blocks();
    48 shutdown(sockfd: Fd, how: Enum(SHUT)).publishes();
    49 bind(sockfd: Fd, addr: reads_len(Len::Arg(2)), addrlen: Uint).publishes();
    50 listen(sockfd: Fd, backlog: Int).publishes();
    51 getsockname(sockfd: Fd, addr: address(2), addrlen: inout(4));
    52 getpeername(sockfd: Fd, addr: address(2), addrlen: inout(4));
    53 socketpair(domain: Enum(FAMILIES), type: SOCKET_TYPE, protocol: Int, sv: out(8));
    54 setsockopt(sockfd: Fd, level: Enum(SOL), optname: Int, optval: reads_len(Len::Arg(4)),
        optlen: Uint);
    // Some options read what is there first (SO_GET_FILTER, TCP_ZEROCOPY_RECEIVE).
    55 getsockopt(sockfd: Fd, level: Enum(SOL), optname: Int, optval: InOut(Buf::Sized { len: 4 }),
        optlen: inout(4));
    288 accept4(sockfd: Fd, addr: address(2), addrlen: inout(4), flags: Flags(SOCKET_FLAGS))
        .blocks().gives(Ret::Fd);
    299 recvmmsg(sockfd: Fd, msgvec: Out(Buf::Mmsghdr { count: 2 }), vlen: Uint,
        flags: Flags(MSG), timeout: always(16)).blocks();
    // Going out, only each header's `msg_len` is written.
    307 sendmmsg(sockfd: Fd, msgvec: InOut(Buf::Mmsghdr { count: 2 }), vlen: Uint,
        flags: Flags(MSG)).blocks().publishes();
};
