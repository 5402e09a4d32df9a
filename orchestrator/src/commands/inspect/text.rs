//! A picture as people read it.

use super::picture::{Frame, Instruction, Picture, Values};
use crate::describe::safe;
use crate::inspect::source::Source;
use crate::output::{Output, Style};
use std::io::{self, Write as _};

/// Prints it: parts that there are, an empty line between them.
pub fn print(out: &mut Output, picture: &Picture) -> io::Result<()> {
    head(out, picture)?;
    if let Some(source) = &picture.source {
        writeln!(out)?;
        lines(out, source)?;
    }
    if let Some(frames) = &picture.frames {
        writeln!(out)?;
        stack(out, frames, picture.cut.as_deref())?;
    }
    for function in picture.locals.iter().flatten() {
        writeln!(out)?;
        let name = safe(function.function.as_deref().unwrap_or("?").as_bytes());
        let level = format!("#{} {name}", function.level);
        writeln!(out, "{}", out.style(Style::Bold, &level))?;
        for local in &function.variables {
            writeln!(out, "  {} = {}", safe(local.name.as_bytes()), local.value)?;
        }
    }
    if let Some(instructions) = &picture.disassembly {
        writeln!(out)?;
        disassembly(out, instructions)?;
    }
    if let Some(values) = &picture.registers {
        writeln!(out)?;
        registers(out, values, picture.with_meaning)?;
    }
    for memory in &picture.memory {
        writeln!(out)?;
        if !memory.what.starts_with("0x") {
            writeln!(out, "{}", out.style(Style::Bold, &memory.what))?;
        }
        for line in &memory.lines {
            writeln!(out, "{line}")?;
        }
        if let Some(problem) = &memory.problem {
            writeln!(out, "{}", out.style(Style::Bad, problem))?;
        }
    }
    if let Some(threads) = &picture.thread_list {
        writeln!(out)?;
        let lens = threads
            .iter()
            .filter_map(|t| t.name.as_ref())
            .map(String::len);
        let width = lens.max().unwrap_or(0);
        for t in threads {
            let mark = if t.running { "=>" } else { "  " };
            let place = safe(t.place.as_bytes());
            let name = safe(t.name.as_deref().unwrap_or_default().as_bytes());
            let (thread, tid, pc) = (t.thread, t.tid, &t.pc);
            writeln!(
                out,
                "{mark} [{thread}] {tid} {name:<width$} {pc:<14} {place}"
            )?;
        }
    }
    if let Some(maps) = &picture.maps {
        writeln!(out)?;
        for map in maps {
            let what = match &map.offset {
                Some(offset) => format!("{}+{offset}", map.what),
                None => map.what.clone(),
            };
            let (start, end, prot) = (&map.start, &map.end, &map.prot);
            writeln!(
                out,
                "{start:>14} {end:>14} {prot} {}",
                safe(what.as_bytes())
            )?;
        }
    }
    if let Some(hint) = &picture.hint {
        let hint = format!("({hint})");
        writeln!(out, "\n{}", out.style(Style::Dim, &hint))?;
    }
    Ok(())
}

fn head(out: &mut Output, picture: &Picture) -> io::Result<()> {
    let of = Style::Of(picture.recording);
    let pid = picture
        .pid
        .map_or_else(String::new, |pid| format!(", pid {pid}"));
    let threads = match picture.threads {
        1 => String::new(),
        n => format!(", thread {} of {n} (tid {})", picture.thread, picture.tid),
    };
    let program = safe(picture.program.as_bytes());
    let position = out.style(of, &picture.position);
    writeln!(out, "{position} {program}{pid}{threads}")?;
    if let Some(event) = &picture.event {
        let relation = out.style(Style::Dim, picture.relation);
        writeln!(out, "{relation} {}", event.text)?;
    }
    Ok(())
}

/// Prints functions that have not returned, and why there may be more.
pub fn stack(out: &mut Output, frames: &[Frame], cut: Option<&str>) -> io::Result<()> {
    for (n, frame) in frames.iter().enumerate() {
        let pc = u64::from_str_radix(&frame.pc[2..], 16).unwrap_or(0);
        let level = format!("#{n}");
        let text = safe(frame.text.as_bytes());
        writeln!(out, "{level:<3} {pc:#018x} {text}")?;
    }
    if let Some(cut) = cut {
        let cut = format!("… {cut}");
        writeln!(out, "{}", out.style(Style::Dim, &cut))?;
    }
    Ok(())
}

fn lines(out: &mut Output, source: &Source) -> io::Result<()> {
    let place = format!("{}:{}", source.file, source.line);
    writeln!(out, "{}", out.style(Style::Bold, &safe(place.as_bytes())))?;
    let width = source.lines.last().map_or(0, |l| l.0.to_string().len());
    for (number, text) in &source.lines {
        let text = safe(text.as_bytes());
        let here = *number == source.line;
        let mark = if here { "=>" } else { "  " };
        let line = format!("{mark} {number:>width$}  {text}");
        let style = if here { Style::Good } else { Style::Plain };
        writeln!(out, "{}", out.style(style, line.trim_end()))?;
    }
    if let Some(problem) = &source.problem {
        writeln!(out, "{}", out.style(Style::Warn, problem))?;
    }
    Ok(())
}

fn disassembly(out: &mut Output, instructions: &[Instruction]) -> io::Result<()> {
    let names = instructions.iter().map(|i| i.function.as_ref());
    let width = names
        .map(|n| n.map_or(0, |n| n.len() + 2))
        .max()
        .unwrap_or(0);
    for i in instructions {
        let mark = if i.current { "=>" } else { "  " };
        let name = i
            .function
            .as_ref()
            .map_or_else(String::new, |n| format!("<{n}>"));
        let target = i
            .target
            .as_ref()
            .map_or_else(String::new, |t| format!("  # {t}"));
        let line = format!("{mark} {} {name:<width$} {}{target}", i.address, i.text);
        let style = if i.current { Style::Good } else { Style::Plain };
        writeln!(out, "{}", out.style(style, &line))?;
    }
    Ok(())
}

/// One a line with what it points to, or four a line.
fn registers(out: &mut Output, values: &Values, with_meaning: bool) -> io::Result<()> {
    if with_meaning {
        for (name, value, meaning) in &values.0 {
            let meaning = meaning.as_deref().unwrap_or_default();
            let meaning = out.style(Style::Dim, meaning);
            writeln!(
                out,
                "{name:<7} {value:<18} {meaning}",
                value = format!("{value:#x}")
            )?;
        }
        return Ok(());
    }
    for row in values.0.chunks(4) {
        let cells = row
            .iter()
            .map(|(name, value, _)| format!("{name:<7} {value:#018x}"));
        let cells: Vec<String> = cells.collect();
        writeln!(out, "{}", cells.join("  "))?;
    }
    Ok(())
}
