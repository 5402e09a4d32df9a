//! Runs code with a given state of all registers, and plays the runtime.
#![expect(unsafe_code, reason = "executes what the stubs are made of")]

use orch_abi::access::{ACCESS_OFFSET, Access, NO_PAGE, PAGES, Page, Site, kind};
use std::arch::global_asm;
use std::mem::offset_of;
use std::ptr;

/// x87, SSE, AVX, opmasks, upper halves and upper half of the zmm registers.
pub const COMPONENTS: u64 = 0xe7;
/// Bytes of their state, generously.
pub const XSAVE: usize = 3072;
/// Bytes of a page.
pub const PAGE: usize = 4096;

/// All that instructions work with but memory.
#[repr(C, align(64))]
#[derive(Clone)]
pub struct State {
    pub xsave: [u8; XSAVE],
    pub gpr: [u64; 16],
    pub flags: u64,
}

/// What GS leads to: like the runtime's, `Access` behind 8 bytes.
#[repr(C)]
struct Thread {
    this: *mut Thread,
    access: Access,
    state: *mut State,
    start: u64,
    capture: u64,
    host: u64,
    rsp: u64,
    runtime: *mut Runtime,
    mxcsr: u32,
    xsave: Aligned,
}

#[repr(C, align(64))]
struct Aligned([u8; XSAVE]);

/// Offset from GS of the address to which the code under test must jump in the end.
pub const CAPTURE: usize = offset_of!(Thread, capture);

/// The other side of the contract.
#[derive(Default)]
pub struct Runtime {
    pub sites: Vec<Site>,
    pub first_site: u32,
    /// The two pages of the view, if they are shared.
    pub view: Option<u64>,
    pub alias: u64,
    pub copy: u64,
    /// Performs plain stores itself.
    pub stores: bool,
    /// What it was asked: number of the site and address.
    pub asked: Vec<(usize, u64)>,
    /// What it was told after.
    pub told: usize,
    /// `Access::value` each time.
    pub values: Vec<[u64; 8]>,
    /// General registers that the program had at `before`, but for rsp.
    pub seen: Vec<[u64; 16]>,
    /// `Access::flags` each time.
    pub flags: Vec<u64>,
    pub pending: Option<(u64, usize)>,
}

global_asm!(
    ".macro host_state",
    "fninit",
    "ldmxcsr gs:[{mxcsr}]",
    "cld",
    ".endm",
    ".globl orch_stub_run",
    "orch_stub_run:",
    "push rbx",
    "push rbp",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "mov gs:[{host}], rsp",
    "mov rdi, gs:[{state}]",
    "mov eax, {components}",
    "xor edx, edx",
    "xrstor64 [rdi]",
    "push qword ptr [rdi + {flags}]",
    "popfq",
    "mov rax, [rdi + {gpr}]",
    "mov rcx, [rdi + {gpr} + 8]",
    "mov rdx, [rdi + {gpr} + 16]",
    "mov rbx, [rdi + {gpr} + 24]",
    "mov rsp, [rdi + {gpr} + 32]",
    "mov rbp, [rdi + {gpr} + 40]",
    "mov rsi, [rdi + {gpr} + 48]",
    "mov r8, [rdi + {gpr} + 64]",
    "mov r9, [rdi + {gpr} + 72]",
    "mov r10, [rdi + {gpr} + 80]",
    "mov r11, [rdi + {gpr} + 88]",
    "mov r12, [rdi + {gpr} + 96]",
    "mov r13, [rdi + {gpr} + 104]",
    "mov r14, [rdi + {gpr} + 112]",
    "mov r15, [rdi + {gpr} + 120]",
    "mov rdi, [rdi + {gpr} + 56]",
    "jmp gs:[{start}]",
    ".globl orch_stub_capture",
    "orch_stub_capture:",
    "mov gs:[{rsp}], rsp",
    "mov rsp, gs:[{host}]",
    "pushfq",
    "push rdi",
    "mov rdi, gs:[{state}]",
    "mov [rdi + {gpr}], rax",
    "mov [rdi + {gpr} + 8], rcx",
    "mov [rdi + {gpr} + 16], rdx",
    "mov [rdi + {gpr} + 24], rbx",
    "mov [rdi + {gpr} + 40], rbp",
    "mov [rdi + {gpr} + 48], rsi",
    "mov [rdi + {gpr} + 64], r8",
    "mov [rdi + {gpr} + 72], r9",
    "mov [rdi + {gpr} + 80], r10",
    "mov [rdi + {gpr} + 88], r11",
    "mov [rdi + {gpr} + 96], r12",
    "mov [rdi + {gpr} + 104], r13",
    "mov [rdi + {gpr} + 112], r14",
    "mov [rdi + {gpr} + 120], r15",
    "pop [rdi + {gpr} + 56]",
    "pop [rdi + {flags}]",
    "mov rax, gs:[{rsp}]",
    "mov [rdi + {gpr} + 32], rax",
    "mov eax, {components}",
    "xor edx, edx",
    "xsave64 [rdi]",
    "host_state",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbp",
    "pop rbx",
    "ret",
    ".macro call_runtime function, scramble",
    "mov gs:[{rsp}], rsp",
    "mov rsp, gs:[{host}]",
    "pushfq",
    "push r15",
    "push r14",
    "push r13",
    "push r12",
    "push r11",
    "push r10",
    "push r9",
    "push r8",
    "push rdi",
    "push rsi",
    "push rbp",
    "push gs:[{rsp}]",
    "push rbx",
    "push rdx",
    "push rcx",
    "push rax",
    "mov eax, {components}",
    "xor edx, edx",
    "xsave64 gs:[{xsave}]",
    "host_state",
    "mov rdi, gs:[0]",
    "mov rsi, rsp",
    "mov rbx, rsp",
    "and rsp, -16",
    "call \\function",
    "mov rsp, rbx",
    "mov eax, {components}",
    "xor edx, edx",
    "xrstor64 gs:[{xsave}]",
    "pop rax",
    "pop rcx",
    "pop rdx",
    "pop rbx",
    "lea rsp, [rsp + 8]",
    "pop rbp",
    "pop rsi",
    "pop rdi",
    "pop r8",
    "pop r9",
    "pop r10",
    "pop r11",
    "pop r12",
    "pop r13",
    "pop r14",
    "pop r15",
    "xor qword ptr [rsp], \\scramble",
    "popfq",
    "mov rsp, gs:[{rsp}]",
    "jmp gs:[{back}]",
    ".endm",
    // The contract: before may change the flags, after may not.
    ".globl orch_stub_before",
    "orch_stub_before: call_runtime {before}, 0x8d5",
    ".globl orch_stub_after",
    "orch_stub_after: call_runtime {after}, 0",
    components = const COMPONENTS,
    mxcsr = const offset_of!(Thread, mxcsr),
    state = const offset_of!(Thread, state),
    start = const offset_of!(Thread, start),
    host = const offset_of!(Thread, host),
    rsp = const offset_of!(Thread, rsp),
    xsave = const offset_of!(Thread, xsave),
    back = const ACCESS_OFFSET + offset_of!(Access, back),
    gpr = const offset_of!(State, gpr),
    flags = const offset_of!(State, flags),
    before = sym before,
    after = sym after,
);

unsafe extern "C" {
    fn orch_stub_run();
    fn orch_stub_capture();
    fn orch_stub_before();
    fn orch_stub_after();
}

/// As pushed: rax first.
type Pushed = [u64; 17];

extern "C" fn before(thread: &mut Thread, registers: &Pushed) {
    // SAFETY: set by `run`, and nobody else uses it while code runs.
    let r = unsafe { &mut *thread.runtime };
    let a = &mut thread.access;
    let number = a.site as usize - r.first_site as usize;
    let site = r.sites[number];
    let (at, size) = (a.address, site.size as usize);
    r.asked.push((number, at));
    r.values.push(a.value);
    let mut gpr = [0; 16];
    gpr.copy_from_slice(&registers[..16]);
    for (&n, &value) in site.scratch.iter().zip(&a.scratch) {
        gpr[usize::from(n)] = value;
    }
    r.seen.push(gpr);
    r.flags.push(a.flags);
    let Some(view) = r.view.filter(|v| (*v..v + 2 * PAGE as u64).contains(&at)) else {
        return;
    };
    assert!(at + size as u64 <= view + 2 * PAGE as u64);
    let alias = at.wrapping_add(r.alias);
    if site.kind == kind::LOAD {
        r.bring(at, size);
        a.address = at.wrapping_add(r.copy);
    } else if r.stores && site.value != 0 {
        // SAFETY: the alias of an address within the view.
        unsafe { ptr::copy_nonoverlapping(a.value.as_ptr().cast(), alias as *mut u8, size) };
        r.bring(at, size);
        a.back = site.done;
    } else {
        r.pending = Some((at, size));
        a.address = alias;
    }
}

extern "C" fn after(thread: &mut Thread, _: &Pushed) {
    // SAFETY: as in `before`.
    let r = unsafe { &mut *thread.runtime };
    r.told += 1;
    if let Some((at, size)) = r.pending.take() {
        r.bring(at, size);
    }
}

impl Runtime {
    /// What changed at `at` comes to the copy.
    fn bring(&self, at: u64, size: usize) {
        let from = at.wrapping_add(self.alias) as *const u8;
        let to = at.wrapping_add(self.copy) as *mut u8;
        // SAFETY: both lie within mapped memory as `at` does within the view.
        unsafe { ptr::copy_nonoverlapping(from, to, size) };
    }
}

/// Memory for code and data below 2 GiB, and a thread's data.
pub struct Machine {
    thread: Box<Thread>,
    /// Where the region begins.
    pub base: u64,
}

/// Offsets in the region: the program's code, the stub, a stack, two pages each
/// for the view, its alias, its copy, and memory of the program's own.
pub const CODE: u64 = 0x1000;
pub const STUB: u64 = 0x4000;
pub const STACK: u64 = 0x8000;
pub const VIEW: u64 = 0x10000;
pub const ALIAS: u64 = 0x20000;
pub const COPY: u64 = 0x31000;
pub const OTHER: u64 = 0x40000;
const REGION: usize = 0x50000;

impl Machine {
    /// Takes the calling thread's GS.
    pub fn new() -> Self {
        // SAFETY: new memory; and nothing on this thread uses GS.
        unsafe {
            let base = libc::mmap(
                ptr::null_mut(),
                REGION,
                libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT,
                -1,
                0,
            );
            assert_ne!(base, libc::MAP_FAILED);
            let mut thread = Box::new(Thread {
                this: ptr::null_mut(),
                access: new_access(),
                state: ptr::null_mut(),
                start: 0,
                capture: orch_stub_capture as *const () as u64,
                host: 0,
                rsp: 0,
                runtime: ptr::null_mut(),
                mxcsr: 0x1f80,
                xsave: Aligned([0; XSAVE]),
            });
            thread.this = &raw mut *thread;
            const ARCH_SET_GS: u64 = 0x1001;
            let ok = libc::syscall(libc::SYS_arch_prctl, ARCH_SET_GS, thread.this);
            assert_eq!(ok, 0);
            Self {
                thread,
                base: base as u64,
            }
        }
    }

    pub fn access(&mut self) -> &mut Access {
        &mut self.thread.access
    }

    /// Forgets all pages, and makes the countdown long.
    pub fn reset(&mut self) {
        self.thread.access = new_access();
    }

    pub fn page(&mut self, address: u64) -> &mut Page {
        &mut self.thread.access.pages[(address as usize / PAGE) % PAGES]
    }

    /// `len` bytes of the region.
    pub fn memory(&mut self, offset: u64, len: usize) -> &mut [u8] {
        assert!(offset as usize + len <= REGION);
        // SAFETY: within the region, borrowed as `self` is; the view is asked
        // for only while it is readable.
        unsafe { std::slice::from_raw_parts_mut((self.base + offset) as *mut u8, len) }
    }

    /// Whether the program may use the view itself.
    pub fn open_view(&mut self, open: bool) {
        let access = if open {
            libc::PROT_READ | libc::PROT_WRITE
        } else {
            libc::PROT_NONE
        };
        let view = (self.base + VIEW) as *mut libc::c_void;
        // SAFETY: the region's own memory.
        assert_eq!(unsafe { libc::mprotect(view, 2 * PAGE, access) }, 0);
    }

    /// Runs the code at `start` until it jumps to [`CAPTURE`].
    pub fn run(&mut self, start: u64, state: &mut State, runtime: &mut Runtime) {
        self.thread.state = state;
        self.thread.runtime = runtime;
        self.thread.start = start;
        // SAFETY: the code under test touches the region and the thread's data only.
        unsafe { orch_stub_run() };
    }
}

fn new_access() -> Access {
    Access {
        rax: 0,
        flags: 0,
        scratch: [0; 3],
        address: 0,
        value: [0; 8],
        site: 0,
        back: 0,
        countdown: 1 << 40,
        before: orch_stub_before as *const () as u64,
        after: orch_stub_after as *const () as u64,
        pages: [Page {
            shared: NO_PAGE,
            private: NO_PAGE,
            writable: NO_PAGE,
            ..Page::default()
        }; PAGES],
    }
}

/// Components that this CPU and kernel have.
pub fn components() -> u64 {
    assert!(std::is_x86_feature_detected!("xsave"));
    // SAFETY: the CPU has xsave, and the kernel turned it on.
    COMPONENTS & unsafe { xcr0() }
}

#[target_feature(enable = "xsave")]
unsafe fn xcr0() -> u64 {
    // SAFETY: the caller's.
    unsafe { std::arch::x86_64::_xgetbv(0) }
}

/// Offset and size in [`State::xsave`] of component `n`, 2 or above.
pub fn component(n: u32) -> (usize, usize) {
    let leaf = std::arch::x86_64::__cpuid_count(0xd, n);
    (leaf.ebx as usize, leaf.eax as usize)
}
