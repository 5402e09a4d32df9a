use super::*;
use proptest::prelude::*;

fn at(at: At) -> Position {
    Position {
        recording: RecordingId(3),
        at,
    }
}

fn tick(tick: u64, pass: Option<(u64, u64)>, instructions: u64) -> At {
    At::Tick {
        tick: Tick(tick),
        pass: pass.map(|(addr, nth)| Pass { addr, nth }),
        instructions,
    }
}

#[test]
fn positions_as_written() {
    let pass = Some((0x40_1136, 3));
    for (text, position) in [
        ("p3@18402", at(tick(18402, None, 0))),
        ("p3@18402+57", at(tick(18402, None, 57))),
        ("p3@18402:0x401136#3", at(tick(18402, pass, 0))),
        ("p3@18402:0x401136#3+5", at(tick(18402, pass, 5))),
        ("p3@start", at(At::Start)),
        ("p3@end", at(At::End)),
        ("p3@exit", at(At::Exit)),
        (
            "p3@~12.5s",
            at(At::Time {
                nanos: 12_500_000_000,
            }),
        ),
        ("p3@~0.000000001s", at(At::Time { nanos: 1 })),
        (
            "p3@50%",
            at(At::Part {
                thousandths: 50_000,
            }),
        ),
        ("p3@0.125%", at(At::Part { thousandths: 125 })),
    ] {
        assert_eq!(text.parse(), Ok(position));
        assert_eq!(position.to_string(), text);
        assert_eq!(text.parse(), Ok(When::At(position)));
    }
    assert_eq!("p3@7+0".parse(), Ok(at(tick(7, None, 0))));
    let first = at(tick(7, Some((16, 1)), 0));
    assert_eq!("p3@7:0x10".parse(), Ok(first));
    let whole = at(At::Part {
        thousandths: At::WHOLE,
    });
    assert_eq!("p3@100.000%".parse(), Ok(whole));
}

#[test]
fn moments_of_all_recordings() {
    for (text, at) in [
        ("@18402", tick(18402, None, 0)),
        ("@start", At::Start),
        (
            "@~1s",
            At::Time {
                nanos: 1_000_000_000,
            },
        ),
        (
            "@50%",
            At::Part {
                thousandths: 50_000,
            },
        ),
    ] {
        let when = When::Everywhere(at);
        assert_eq!(text.parse(), Ok(when));
        assert_eq!(when.to_string(), text);
        assert!(text.parse::<Position>().is_err(), "{text}");
    }
    let plain = When::Everywhere(tick(18402, None, 0));
    assert_eq!("18402".parse(), Ok(plain));
    for text in ["@exit", "@1+1", "@1:0x10#1", "start", "50%", "1+1"] {
        assert!(text.parse::<When>().is_err(), "{text}");
    }
}

#[test]
fn other_text_is_refused() {
    for text in [
        "",
        "p3",
        "p3@",
        "p0@3",
        "3@3",
        "p3@+1",
        "p3@1+",
        "p3@-1",
        "p3@1+-1",
        "p3@1+1+1",
        "p3@End",
        "p3@99999999999999999999",
        "p3@1 ",
        "p3@1:",
        "p3@1:401136#3",
        "p3@1:0x#3",
        "p3@1:0x10#0",
        "p3@1:0x10#",
        "p3@1+5:0x10#1",
        "p3@~",
        "p3@~s",
        "p3@~1",
        "p3@~1.s",
        "p3@~.5s",
        "p3@~-1s",
        "p3@~0.0000000001s",
        "p3@~99999999999s",
        "p3@%",
        "p3@101%",
        "p3@0.0001%",
    ] {
        assert!(text.parse::<Position>().is_err(), "{text}");
        assert!(text.parse::<When>().is_err(), "{text}");
    }
}

fn any_at() -> impl Strategy<Value = At> {
    let pass = proptest::option::of((any::<u64>(), 1_u64..));
    prop_oneof![
        Just(At::Start),
        Just(At::End),
        Just(At::Exit),
        any::<u64>().prop_map(|nanos| At::Time { nanos }),
        (0..=At::WHOLE).prop_map(|thousandths| At::Part { thousandths }),
        (any::<u64>(), pass, any::<u64>()).prop_map(|(t, pass, n)| tick(t, pass, n)),
    ]
}

proptest! {
    #[test]
    fn what_is_printed_is_parsed(recording in 1_u32.., at in any_at()) {
        let position = Position { recording: RecordingId(recording), at };
        prop_assert_eq!(position.to_string().parse(), Ok(position));
        prop_assert_eq!(position.to_string().parse(), Ok(When::At(position)));
    }

    #[test]
    fn no_text_breaks_the_parser(text in "(p?[0-9]{0,3})?@?[~]?[0-9.:x#+%s]{0,12}|.{0,12}") {
        if let Ok(when) = text.parse::<When>() {
            prop_assert_eq!(when.to_string().parse(), Ok(when));
        }
    }
}
