//! What gets a stub, how many instructions it stands for, and what it says of them.

use orch_abi::access::{self, Moved, Site, kind};
use orch_shm_tracker::{Stub, stub};

const IP: u64 = 0x40_1000;
const AT: u64 = 0x50_0000;

fn of(code: &[u8]) -> Option<Stub> {
    stub(code, 0, IP, AT, 3)
}

/// Kind, size, value, atomic of the first instruction.
fn site(code: &[u8]) -> (u8, u32, u8, u8) {
    let s = of(code).expect("a stub").sites[0];
    (s.kind, s.size, s.value, s.atomic)
}

/// Window, patch, offsets of the instructions, and of the sites.
fn shape(code: &[u8]) -> (usize, bool, Vec<u32>, Vec<u64>) {
    let s = of(code).expect("a stub");
    let at = s.moved.iter().map(|m| m.at).collect();
    (
        s.window,
        s.patch,
        at,
        s.sites.iter().map(|s| s.ip - IP).collect(),
    )
}

#[test]
fn what_it_does_to_memory() {
    assert_eq!(site(&[0x8b, 0x07]), (kind::LOAD, 4, 0, 0)); // mov (%rdi),%eax
    assert_eq!(site(&[0x66, 0x89, 0x07]), (kind::STORE, 2, 1, 0)); // mov %ax,(%rdi)
    assert_eq!(site(&[0xc6, 0x07, 1]), (kind::STORE, 1, 1, 0)); // movb $1,(%rdi)
    assert_eq!(site(&[0x0f, 0xc3, 0x07]), (kind::STORE, 4, 1, 0)); // movnti %eax,(%rdi)
    assert_eq!(site(&[0x0f, 0x94, 0x07]), (kind::STORE, 1, 0, 0)); // sete (%rdi)
    assert_eq!(site(&[0x0f, 0x11, 0x07]), (kind::STORE, 16, 1, 0)); // movups %xmm0,(%rdi)
    assert_eq!(site(&[0x0f, 0x29, 0x07]), (kind::STORE, 16, 2, 0)); // movaps %xmm0,(%rdi)
    assert_eq!(site(&[0x01, 0x07]), (kind::EXCHANGE, 4, 0, 0)); // add %eax,(%rdi)
    assert_eq!(site(&[0xf0, 0x01, 0x07]), (kind::EXCHANGE, 4, 0, 1)); // lock add %eax,(%rdi)
    assert_eq!(site(&[0x87, 0x07]), (kind::EXCHANGE, 4, 0, 1)); // xchg %eax,(%rdi)
    assert_eq!(site(&[0x0f, 0xb1, 0x07]), (kind::UPDATE, 4, 0, 0)); // cmpxchg %eax,(%rdi)
    assert_eq!(site(&[0x48, 0x0f, 0xc7, 0x0f]), (kind::UPDATE, 16, 0, 0)); // cmpxchg16b (%rdi)
    assert_eq!(site(&[0x0f, 0xba, 0x27, 3]), (kind::LOAD, 4, 0, 0)); // btl $3,(%rdi)
    assert_eq!(site(&[0x0f, 0x44, 0x07]), (kind::LOAD, 4, 0, 0)); // cmove (%rdi),%eax
    assert_eq!(site(&[0xff, 0x37]), (kind::LOAD, 8, 0, 0)); // push (%rdi)
    assert_eq!(site(&[0x8f, 0x07]), (kind::STORE, 8, 0, 0)); // pop (%rdi)
    assert_eq!(site(&[0xdb, 0x2f]), (kind::LOAD, 10, 0, 0)); // fldt (%rdi)
    assert_eq!(site(&[0xdb, 0x3f]), (kind::STORE, 10, 0, 0)); // fstpt (%rdi)
    assert_eq!(site(&[0x8b, 0x44, 0x24, 8]), (kind::LOAD, 4, 0, 0)); // mov 8(%rsp),%eax
    assert_eq!(
        site(&[0xc4, 0xe2, 0x71, 0x2e, 0x07]),
        (kind::UPDATE, 16, 0, 0)
    ); // vmaskmovps %xmm0,%xmm1,(%rdi)
    assert_eq!(
        site(&[0x62, 0xf1, 0x7e, 0x49, 0x7f, 0x07]),
        (kind::UPDATE, 64, 0, 0)
    ); // vmovdqu32 %zmm0,(%rdi){%k1}
    assert_eq!(
        site(&[0x62, 0xf1, 0x7e, 0xc9, 0x6f, 0x07]),
        (kind::LOAD, 64, 0, 0)
    ); // vmovdqu32 (%rdi),%zmm0{%k1}{z}
    assert_eq!(
        site(&[0x62, 0xf1, 0x7c, 0x58, 0x58, 0x07]),
        (kind::LOAD, 4, 0, 0)
    ); // vaddps (%rdi){1to16},%zmm0,%zmm0
}

#[test]
fn what_has_no_stub() {
    let without: [&[u8]; 20] = [
        &[],
        &[0x90],                               // nop
        &[0x01, 0xc8],                         // add %ecx,%eax
        &[0x64, 0x8b, 0x07],                   // mov %fs:(%rdi),%eax
        &[0x65, 0x8b, 0x07],                   // mov %gs:(%rdi),%eax
        &[0x67, 0x8b, 0x07],                   // mov (%edi),%eax
        &[0x67, 0x8b, 0x04, 0x25, 0, 0, 0, 1], // addr32 mov 0x1000000,%eax
        &[0x0f, 0xab, 0x07],                   // bts %eax,(%rdi)
        &[0x8f, 0x04, 0x24],                   // pop (%rsp)
        &[0x8e, 0x2f],                         // mov (%rdi),%gs
        &[0xa4],                               // movsb
        &[0xf3, 0xaa],                         // rep stosb
        &[0xd7],                               // xlat
        &[0xff, 0x17],                         // call (%rdi)
        &[0xff, 0x27],                         // jmp (%rdi)
        &[0x0f, 0xae, 0x07],                   // fxsave (%rdi)
        &[0x0f, 0xae, 0x3f],                   // clflush (%rdi)
        &[0xd9, 0x37],                         // fnstenv (%rdi)
        &[0x0f, 0x0d, 0x0f],                   // prefetchw (%rdi)
        &[0xc4, 0xe2, 0x71, 0x90, 0x04, 0x07], // vpgatherdd %xmm1,(%rdi,%xmm0),%xmm0
    ];
    for code in without {
        assert_eq!(of(code), None, "{code:x?}");
    }
}

#[test]
fn a_long_instruction_is_alone() {
    // mov 16(%rdi),%rax with 4 bytes of displacement; ret
    let code = [0x48, 0x8b, 0x87, 16, 0, 0, 0, 0xc3];
    assert_eq!(shape(&code), (7, true, vec![0], vec![0]));
}

#[test]
fn followers_make_room() {
    // mov (%rdi),%eax; mov %eax,(%rsi); ret
    let code = [0x8b, 0x07, 0x89, 0x06, 0xc3];
    assert_eq!(shape(&code), (5, true, vec![0, 2, 4], vec![0, 2]));
    // mov (%rdi),%eax; mov %eax,8(%rsp): the frame
    let code = [0x8b, 0x07, 0x89, 0x44, 0x24, 8];
    assert_eq!(shape(&code), (6, true, vec![0, 2], vec![0]));
    // mov (%rdi),%eax; mov %fs:(%rdi),%ecx
    let code = [0x8b, 0x07, 0x64, 0x8b, 0x0f];
    assert_eq!(shape(&code), (5, true, vec![0, 2], vec![0]));
    // mov (%rdi),%eax; prefetchnta (%rdi)
    let code = [0x8b, 0x07, 0x0f, 0x18, 0x07];
    assert_eq!(shape(&code), (5, true, vec![0, 2], vec![0]));
}

#[test]
fn what_cannot_move_stays() {
    let alone = (2, false, vec![0], vec![0]);
    let codes: [&[u8]; 9] = [
        &[0x8b, 0x07],                               // and no more is known
        &[0x8b, 0x07, 0xc3, 0x8b, 0x07],             // ret, and something else
        &[0x8b, 0x07, 0xeb, 0, 0x90],                // jmp to what follows it
        &[0x8b, 0x07, 0xff, 0x54, 0x24, 8],          // call by the stack that it changes
        &[0x8b, 0x07, 0x0f, 0x05, 0x90],             // syscall
        &[0x8b, 0x07, 0x0f, 0x31, 0x90],             // rdtsc
        &[0x8b, 0x07, 0xf0, 0x01, 0x07],             // lock add, entered behind its prefix
        &[0x8b, 0x07, 0xe2, 0x70, 0x90],             // loop, which has no long form
        &[0x8b, 0x07, 0x8b, 0x05, 0xfc, 0xff, 0xff], // cut off
    ];
    for code in codes {
        assert_eq!(shape(code), alone, "{code:x?}");
    }
    // mov -8(%rip),%eax: reads what a jump would change.
    let own = [0x8b, 0x05, 0xf8, 0xff, 0xff, 0xff];
    assert_eq!(shape(&own), (6, false, vec![0], vec![0]));
}

#[test]
fn what_follows_a_function_makes_room() {
    // mov (%rdi),%eax; ret; nop; int3
    let code = [0x8b, 0x07, 0xc3, 0x90, 0xcc];
    assert_eq!(shape(&code), (5, true, vec![0, 2], vec![0]));
    // mov (%rdi),%eax; jmp, far away; nopl 0(%rax)
    let code = [0x8b, 0x07, 0xeb, 0x40, 0x0f, 0x1f, 0x40, 0x00];
    assert_eq!(shape(&code), (8, true, vec![0, 2], vec![0]));
}

#[test]
fn calls_push_the_programs_address() {
    // mov (%rdi),%eax; call
    let code = [0x8b, 0x07, 0xe8, 0, 1, 0, 0];
    assert_eq!(shape(&code), (7, true, vec![0, 2], vec![0]));
    let stub = of(&code).expect("a stub");
    let behind = (IP + 7).to_le_bytes();
    for half in behind.chunks(4) {
        assert!(stub.code.windows(4).any(|w| w == half));
    }
    // mov (%rdi),%eax; call *8(%rax)
    let code = [0x8b, 0x07, 0xff, 0x50, 8];
    assert_eq!(shape(&code), (5, true, vec![0, 2], vec![0]));
}

#[test]
fn flags_are_kept_where_they_can_be_seen() {
    let flags = |code: &[u8]| of(code).expect("a stub").sites[0].flags;
    assert_eq!(flags(&[0x8b, 0x07]), 1); // mov (%rdi),%eax
    assert_eq!(flags(&[0x3b, 0x07]), 0); // cmp (%rdi),%eax
    assert_eq!(flags(&[0x8b, 0x07, 0x48, 0x85, 0xc0]), 0); // mov (%rdi),%eax; test %rax,%rax
    assert_eq!(flags(&[0x8b, 0x07, 0x85, 0xc0, 0xc3]), 0); // and a ret, which shows test's flags
    assert_eq!(flags(&[0x8b, 0x07, 0x75, 0x00, 0x85, 0xc0]), 1); // mov (%rdi),%eax; jne; test
}

#[test]
fn what_is_out_of_reach_has_none() {
    let code = [0x48, 0x8b, 0x87, 16, 0, 0, 0];
    assert!(stub(&code, 0, IP, IP + (1 << 30), 0).is_some());
    assert_eq!(stub(&code, 0, IP, IP + (1 << 32), 0), None);
    assert_eq!(stub(&code, 0, IP, AT, 1 << 31), None);
}

#[test]
fn the_answer_is_as_the_runtime_reads_it() {
    let s = of(&[0x8b, 0x07, 0x89, 0x06, 0xc3]).expect("a stub");
    let bytes = s.encode();
    let word = |n: usize| u32::from_le_bytes(bytes[n..n + 4].try_into().expect("four"));
    let long = |n: usize| u64::from_le_bytes(bytes[n..n + 8].try_into().expect("eight"));
    let head: Vec<_> = (0..6).map(|n| word(4 * n)).collect();
    assert_eq!(head, [5, 1, 3, 2, s.code.len() as u32, 0]);
    let moved = size_of::<access::Stub>();
    assert_eq!(word(moved + 4), s.moved[0].entry);
    let sites = moved + 3 * size_of::<Moved>();
    let second = sites + size_of::<Site>();
    assert_eq!(
        long(second + std::mem::offset_of!(Site, done)),
        s.sites[1].done
    );
    assert_eq!(word(second + std::mem::offset_of!(Site, size)), 4);
    assert_eq!(bytes[second + std::mem::offset_of!(Site, value)], 1);
    assert_eq!(bytes[second + std::mem::offset_of!(Site, flags)], 1);
    assert_eq!(bytes[second + size_of::<Site>()..], s.code);
}
