//! One run: the program's own code on its own memory, then the stub on alias
//! and copy, and the comparison.

use crate::machine::{
    ALIAS, CAPTURE, CODE, COPY, Machine, OTHER, PAGE, Runtime, STACK, STUB, State, VIEW,
};
use crate::random::{Random, visible};
use orch_shm_tracker::{Stub, stub};

/// What is known about the view's pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages {
    Shared,
    Private,
    Unknown,
}

/// How the stub's run is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    pub pages: Pages,
    /// Bytes of the view in which alias and copy differ.
    pub changed: Vec<usize>,
    pub countdown: i64,
    /// The runtime performs plain stores itself.
    pub stores: bool,
}

/// Bytes of stack that are compared.
const STACK_BYTES: usize = 1024;
/// The number of the first site.
const SITE: u32 = 7000;

/// What came out of the stub's run, for what only the caller can judge.
pub struct Outcome {
    pub stub: Stub,
    pub runtime: Runtime,
    pub countdown: i64,
}

/// `code` with a jump to the end of the run.
pub fn with_end(code: &[u8]) -> Vec<u8> {
    let mut all = code.to_vec();
    all.extend([0x65, 0xff, 0x24, 0x25]);
    all.extend((CAPTURE as u32).to_le_bytes());
    all
}

/// Runs `code` and its stub; `None` if there is no stub for it. Complains if
/// they differ. The view and another pair of pages begin as `contents`.
pub fn compare(
    m: &mut Machine,
    code: &[u8],
    state: &State,
    contents: &[u8],
    setup: &Setup,
    rng: &mut Random,
) -> Result<Option<Outcome>, String> {
    let ip = m.base + CODE;
    let visible_code = &code[..code.len().min(40)];
    let Some(stub) = stub(visible_code, 0, ip, m.base + STUB, SITE) else {
        return Ok(None);
    };
    m.memory(CODE, code.len()).copy_from_slice(code);
    let mut stack = vec![0; STACK_BYTES];
    rng.fill(&mut stack);
    let mut state = state.clone();
    state.gpr[4] = m.base + STACK + STACK_BYTES as u64 / 2;

    m.reset();
    m.open_view(true);
    m.memory(STACK, STACK_BYTES).copy_from_slice(&stack);
    m.memory(VIEW, 2 * PAGE).copy_from_slice(contents);
    m.memory(OTHER, 2 * PAGE).copy_from_slice(contents);
    let mut original = state.clone();
    m.run(ip, &mut original, &mut Runtime::default());
    let original_memory = m.memory(VIEW, 2 * PAGE).to_vec();
    let original_other = m.memory(OTHER, 2 * PAGE).to_vec();
    let original_stack = m.memory(STACK, STACK_BYTES).to_vec();

    m.memory(STACK, STACK_BYTES).copy_from_slice(&stack);
    m.memory(OTHER, 2 * PAGE).copy_from_slice(contents);
    let mut runtime = prepare(m, contents, setup);
    runtime.sites.clone_from(&stub.sites);
    m.memory(STUB, stub.code.len()).copy_from_slice(&stub.code);
    let start = if stub.patch {
        let jump = (STUB as i32 - CODE as i32 - 5).to_le_bytes();
        let at = m.memory(CODE, 5);
        at[0] = 0xe9;
        at[1..].copy_from_slice(&jump);
        ip
    } else {
        m.base + STUB
    };
    let mut result = state.clone();
    m.run(start, &mut result, &mut runtime);

    let shared = setup.pages == Pages::Shared;
    let countdown = m.access().countdown;
    let memory = m
        .memory(if shared { ALIAS } else { VIEW }, 2 * PAGE)
        .to_vec();
    same_state(&original, &result)?;
    same("memory", &original_memory, &memory)?;
    same("other memory", &original_other, m.memory(OTHER, 2 * PAGE))?;
    same("stack", &original_stack, m.memory(STACK, STACK_BYTES))?;
    if shared && setup.changed.is_empty() {
        same("copy", &memory, m.memory(COPY, 2 * PAGE))?;
    }
    Ok(Some(Outcome {
        stub,
        runtime,
        countdown,
    }))
}

/// Memory and the thread's table as `setup` says.
fn prepare(m: &mut Machine, contents: &[u8], setup: &Setup) -> Runtime {
    m.reset();
    m.access().countdown = setup.countdown;
    let mut runtime = Runtime {
        first_site: SITE,
        alias: ALIAS - VIEW,
        copy: COPY - VIEW,
        stores: setup.stores,
        ..Runtime::default()
    };
    let view = m.base + VIEW;
    let other = m.base + OTHER;
    for address in [view, view + PAGE as u64] {
        let page = m.page(address);
        (page.alias, page.copy) = (ALIAS - VIEW, COPY - VIEW);
        match setup.pages {
            Pages::Shared => page.shared = address / PAGE as u64,
            Pages::Private => page.private = address / PAGE as u64,
            Pages::Unknown => {}
        }
    }
    m.page(other).private = other / PAGE as u64;
    if setup.pages == Pages::Shared {
        m.open_view(false);
        runtime.view = Some(view);
        m.memory(ALIAS, 2 * PAGE).copy_from_slice(contents);
        m.memory(COPY, 2 * PAGE).copy_from_slice(contents);
        for &n in &setup.changed {
            m.memory(COPY, 2 * PAGE)[n] ^= 0x5a;
        }
    } else {
        m.memory(VIEW, 2 * PAGE).copy_from_slice(contents);
    }
    runtime
}

fn same_state(original: &State, stub: &State) -> Result<(), String> {
    for n in 0..16 {
        let (a, b) = (original.gpr[n], stub.gpr[n]);
        if a != b {
            return Err(format!("register {n} is {b:#x}, not {a:#x}"));
        }
    }
    if (original.flags ^ stub.flags) & 0xcd5 != 0 {
        return Err(format!(
            "flags are {:#x}, not {:#x}",
            stub.flags, original.flags
        ));
    }
    for ((what, a), (_, b)) in visible(original).iter().zip(visible(stub)) {
        same(what, a, &b)?;
    }
    Ok(())
}

fn same(what: &str, original: &[u8], stub: &[u8]) -> Result<(), String> {
    if original == stub {
        return Ok(());
    }
    match original.iter().zip(stub).position(|(a, b)| a != b) {
        None => Ok(()),
        Some(n) => Err(format!(
            "{what} differs at {n}: {:#x}, not {:#x}",
            stub[n], original[n]
        )),
    }
}
