//! x86-64 as gdb sees it through the remote protocol: registers in the order
//! of the target description (gdb manual, "Standard Target Features", i386).

use super::registers::Register;
use gdbstub::arch::{Arch, Registers};
use std::sync::LazyLock;

/// x86-64 with SSE, AVX and AVX-512 where there are such, and Linux's registers.
#[derive(Debug)]
pub enum X86_64 {}

/// All registers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllRegisters {
    /// rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp, r8 to r15.
    pub general: [u64; 16],
    /// Instruction pointer.
    pub rip: u64,
    /// Flags.
    pub eflags: u32,
    /// cs, ss, ds, es, fs, gs.
    pub segments: [u32; 6],
    /// Those that only the processor has; unknown of a thread that waits.
    pub extended: Option<Extended>,
    /// Number of the call that runs, or all ones.
    pub orig_rax: u64,
    /// Thread-local storage.
    pub fs_base: u64,
    /// 0: the program's GS is not used.
    pub gs_base: u64,
}

/// x87, SSE, AVX and AVX-512 registers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extended {
    /// st0 to st7.
    pub st: [[u8; 10]; 8],
    /// fctrl, fstat, ftag, fiseg, fioff, foseg, fooff, fop.
    pub fpu: [u32; 8],
    /// xmm0 to xmm15.
    pub xmm: [[u8; 16]; 16],
    /// SSE control and status.
    pub mxcsr: u32,
    /// Upper halves of ymm0 to ymm15, where there are such.
    pub ymmh: Option<[[u8; 16]; 16]>,
    /// Those of AVX-512, where there are such.
    pub avx512: Option<Avx512>,
}

/// What AVX-512 has besides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Avx512 {
    /// k0 to k7.
    pub masks: [[u8; 8]; 8],
    /// Upper halves of zmm0 to zmm31.
    pub zmmh: [[u8; 32]; 32],
    /// xmm16 to xmm31.
    pub xmm: [[u8; 16]; 16],
    /// Upper halves of ymm16 to ymm31.
    pub ymmh: [[u8; 16]; 16],
}

/// Whether this processor, on which the recording is replayed, has AVX registers.
fn has_avx() -> bool {
    std::arch::is_x86_feature_detected!("avx")
}

/// The same of AVX-512, with masks of 64 bits.
fn has_avx512() -> bool {
    std::arch::is_x86_feature_detected!("avx512bw")
}

impl Registers for AllRegisters {
    type ProgramCounter = u64;

    fn pc(&self) -> u64 {
        self.rip
    }

    fn gdb_serialize(&self, mut write: impl FnMut(Option<u8>)) {
        let mut put = |bytes: &[u8]| bytes.iter().for_each(|&b| write(Some(b)));
        for word in self.general.iter().chain([&self.rip]) {
            put(&word.to_le_bytes());
        }
        for half in [self.eflags].iter().chain(&self.segments) {
            put(&half.to_le_bytes());
        }
        let known = self.extended.clone();
        let e = known.clone().unwrap_or_default();
        let mut extended = |bytes: &[u8], known: bool| {
            bytes.iter().for_each(|&b| write(known.then_some(b)));
        };
        for st in &e.st {
            extended(st, known.is_some());
        }
        for half in &e.fpu {
            extended(&half.to_le_bytes(), known.is_some());
        }
        for xmm in &e.xmm {
            extended(xmm, known.is_some());
        }
        extended(&e.mxcsr.to_le_bytes(), known.is_some());
        for word in [self.orig_rax, self.fs_base, self.gs_base] {
            extended(&word.to_le_bytes(), true);
        }
        if has_avx() {
            for half in &e.ymmh.unwrap_or_default() {
                extended(half, e.ymmh.is_some());
            }
        }
        if has_avx512() {
            let (known, e) = (e.avx512.is_some(), e.avx512.unwrap_or_default());
            let masks = e.masks.as_flattened();
            let vectors = [e.zmmh.as_flattened(), e.xmm.as_flattened()];
            let halves = e.ymmh.as_flattened();
            for bytes in [masks].into_iter().chain(vectors).chain([halves]) {
                extended(bytes, known);
            }
        }
    }

    fn gdb_deserialize(&mut self, bytes: &[u8]) -> Result<(), ()> {
        // Which of them are known is not said: gdb sets one after the other.
        let _ = bytes;
        Err(())
    }
}

impl Arch for X86_64 {
    type Usize = u64;
    type Registers = AllRegisters;
    type RegId = Register;
    type BreakpointKind = usize;

    fn target_description_xml() -> Option<&'static str> {
        static XML: LazyLock<String> = LazyLock::new(description);
        Some(&XML)
    }
}

fn description() -> String {
    let mut xml = String::from(
        "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target version=\"1.0\">\
         <architecture>i386:x86-64</architecture><osabi>GNU/Linux</osabi>\
         <feature name=\"org.gnu.gdb.i386.core\"><flags id=\"i386_eflags\" size=\"4\">",
    );
    let flags = [
        ("CF", 0),
        ("PF", 2),
        ("AF", 4),
        ("ZF", 6),
        ("SF", 7),
        ("TF", 8),
        ("IF", 9),
        ("DF", 10),
        ("OF", 11),
    ];
    for (name, bit) in flags {
        xml += &format!("<field name=\"{name}\" start=\"{bit}\" end=\"{bit}\"/>");
    }
    xml += "</flags>";
    let reg = |xml: &mut String, name: &str, bits: u32, kind: &str| {
        *xml += &format!("<reg name=\"{name}\" bitsize=\"{bits}\" type=\"{kind}\"/>");
    };
    let general = [
        "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12",
        "r13", "r14", "r15",
    ];
    for name in general {
        let kind = if matches!(name, "rbp" | "rsp") {
            "data_ptr"
        } else {
            "int64"
        };
        reg(&mut xml, name, 64, kind);
    }
    reg(&mut xml, "rip", 64, "code_ptr");
    reg(&mut xml, "eflags", 32, "i386_eflags");
    for name in ["cs", "ss", "ds", "es", "fs", "gs"] {
        reg(&mut xml, name, 32, "int32");
    }
    for n in 0..8 {
        reg(&mut xml, &format!("st{n}"), 80, "i387_ext");
    }
    let fpu = [
        "fctrl", "fstat", "ftag", "fiseg", "fioff", "foseg", "fooff", "fop",
    ];
    for name in fpu {
        reg(&mut xml, name, 32, "int");
    }
    xml += "</feature><feature name=\"org.gnu.gdb.i386.sse\">";
    xml += &vector_types();
    for n in 0..16 {
        reg(&mut xml, &format!("xmm{n}"), 128, "vec128");
    }
    reg(&mut xml, "mxcsr", 32, "int");
    xml += "</feature><feature name=\"org.gnu.gdb.i386.linux\">";
    reg(&mut xml, "orig_rax", 64, "int");
    xml += "</feature><feature name=\"org.gnu.gdb.i386.segments\">";
    reg(&mut xml, "fs_base", 64, "int");
    reg(&mut xml, "gs_base", 64, "int");
    if has_avx() {
        xml += "</feature><feature name=\"org.gnu.gdb.i386.avx\">";
        for n in 0..16 {
            reg(&mut xml, &format!("ymm{n}h"), 128, "uint128");
        }
    }
    if has_avx512() {
        xml += "</feature><feature name=\"org.gnu.gdb.i386.avx512\">\
                <vector id=\"v2ui128\" type=\"uint128\" count=\"2\"/>";
        for n in 0..8 {
            reg(&mut xml, &format!("k{n}"), 64, "uint64");
        }
        for n in 0..32 {
            reg(&mut xml, &format!("zmm{n}h"), 256, "v2ui128");
        }
        xml += &vector_types();
        for n in 16..32 {
            reg(&mut xml, &format!("xmm{n}"), 128, "vec128");
        }
        for n in 16..32 {
            reg(&mut xml, &format!("ymm{n}h"), 128, "uint128");
        }
    }
    xml + "</feature></target>"
}

/// Types of vectors of 16 bytes, which each feature must have for itself.
fn vector_types() -> String {
    let mut xml = String::new();
    let vectors = [
        ("v4f", "ieee_single", 4),
        ("v2d", "ieee_double", 2),
        ("v16i8", "int8", 16),
        ("v8i16", "int16", 8),
        ("v4i32", "int32", 4),
        ("v2i64", "int64", 2),
    ];
    for (id, kind, count) in vectors {
        xml += &format!("<vector id=\"{id}\" type=\"{kind}\" count=\"{count}\"/>");
    }
    xml += "<union id=\"vec128\"><field name=\"v4_float\" type=\"v4f\"/>\
            <field name=\"v2_double\" type=\"v2d\"/><field name=\"v16_int8\" type=\"v16i8\"/>\
            <field name=\"v8_int16\" type=\"v8i16\"/><field name=\"v4_int32\" type=\"v4i32\"/>\
            <field name=\"v2_int64\" type=\"v2i64\"/><field name=\"uint128\" type=\"uint128\"/></union>";
    xml
}
