//! Small histories.

use super::*;

/// Runs events, and tells each result as text.
fn run(events: &[(u64, u32, &[u8], What<'_>)]) -> Vec<String> {
    let mut window = Window::default();
    let mut out = Vec::new();
    for &(tick, offset, new, what) in events {
        let event = Event {
            tick,
            offset,
            new,
            what,
        };
        let told = window.apply(&event, |told| {
            let old: Vec<String> = told.old.iter().zip(told.known).map(byte).collect();
            let what = format!("{:?}", told.what);
            out.push(format!(
                "{tick} {what} {} {old:?} {:?}",
                told.offset, told.new
            ));
            Ok::<(), ()>(())
        });
        assert!(told.is_ok());
    }
    out
}

fn byte((byte, known): (&u8, &bool)) -> String {
    if *known {
        byte.to_string()
    } else {
        "?".to_owned()
    }
}

const STORE: What<'_> = What::Store { old: None };
const LOAD: What<'_> = What::Load;

#[test]
fn stores_know_what_they_replace() {
    let told = run(&[(1, 0, &[1, 2], STORE), (2, 1, &[3, 4], STORE)]);
    assert_eq!(told[0], r#"1 Recorded 0 ["?", "?"] [1, 2]"#);
    assert_eq!(told[1], r#"2 Recorded 1 ["2", "?"] [3, 4]"#);
}

#[test]
fn what_is_first_seen_is_initial() {
    let told = run(&[
        (1, 1, &[9], STORE),
        (2, 0, &[7, 9, 8], LOAD),
        (3, 0, &[7], LOAD),
    ]);
    assert_eq!(told[1], "2 Initial 0 [] [7]");
    assert_eq!(told[2], "2 Initial 2 [] [8]");
    assert_eq!(told[3], "2 Recorded 0 [] [7, 9, 8]");
    assert_eq!(told.len(), 5);
}

#[test]
fn what_nobody_stored_comes_from_outside() {
    let told = run(&[
        (1, 0, &[1, 1], STORE),
        (2, 0, &[5, 1], LOAD),
        (3, 0, &[6, 6], What::Store { old: Some(&[5, 2]) }),
        (4, 0, &[6], LOAD),
    ]);
    assert_eq!(told[1], r#"2 Outside 0 ["1"] [5]"#);
    assert_eq!(told[3], r#"3 Outside 1 ["1"] [2]"#);
    assert_eq!(told[4], r#"3 Recorded 0 ["5", "2"] [6, 6]"#);
    assert_eq!(told.len(), 6);
}
