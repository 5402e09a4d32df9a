//! Keys that the user has given the meaning of others.

use crate::event::Key;
use crate::script;

/// Which key means which.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keymap(Vec<(Key, Key)>);

impl Keymap {
    /// A key that is pressed, and the one that it means.
    #[must_use]
    pub fn new(pairs: Vec<(Key, Key)>) -> Self {
        Self(pairs)
    }

    /// Them, in order.
    #[must_use]
    pub fn pairs(&self) -> &[(Key, Key)] {
        &self.0
    }

    /// What a key means.
    #[must_use]
    pub fn meant(&self, pressed: Key) -> Key {
        let pair = self.0.iter().find(|pair| pair.0 == pressed);
        pair.map_or(pressed, |pair| pair.1)
    }

    /// The key to be pressed for another, as it is shown.
    fn pressed(&self, meant: &str) -> Option<String> {
        let key = match meant {
            "↑" => Key::Up,
            "↓" => Key::Down,
            "←" => Key::Left,
            "→" => Key::Right,
            "Bksp" => Key::Backspace,
            other => script::key(other)?,
        };
        let pair = self.0.iter().find(|pair| pair.1 == key)?;
        Some(script::name(pair.0))
    }

    /// What is shown of keys (`c/C`, `Home g`), with those that the user has for them.
    #[must_use]
    pub fn hint(&self, shown: &str) -> String {
        // A key that is written with one of these signs.
        if self.0.is_empty() || shown == "/" {
            return self.pressed(shown).unwrap_or_else(|| shown.to_owned());
        }
        let parts = shown.split_inclusive([' ', '/']);
        let part = |part: &str| {
            let name = part.trim_end_matches([' ', '/']);
            let new = self.pressed(name).unwrap_or_else(|| name.to_owned());
            format!("{new}{}", &part[name.len()..])
        };
        parts.map(part).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_have_the_keys_of_the_user() {
        let keys = Keymap::new(vec![
            (Key::Char('Q'), Key::Char('q')),
            (Key::Ctrl('r'), Key::Char('C')),
            (Key::Char('z'), Key::Left),
            (Key::Char('#'), Key::Char('/')),
        ]);
        for (shown, hint) in [
            ("q", "Q"),
            ("c/C", "c/C-r"),
            ("←/→", "z/→"),
            ("Home g", "Home g"),
            ("/", "#"),
            ("Enter", "Enter"),
        ] {
            assert_eq!(keys.hint(shown), hint);
            assert_eq!(Keymap::default().hint(shown), shown);
        }
        assert_eq!(keys.meant(Key::Char('Q')), Key::Char('q'));
        // What it means is not changed once more.
        let turned = Keymap::new(vec![
            (Key::Char('n'), Key::Char('e')),
            (Key::Char('e'), Key::Char('n')),
        ]);
        assert_eq!(turned.meant(Key::Char('n')), Key::Char('e'));
        assert_eq!(
            (turned.hint("n/N"), turned.hint("e/E")),
            ("e/N".to_owned(), "n/E".to_owned())
        );
    }
}
