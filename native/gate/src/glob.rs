//! Globs of model names: `*` is any text, `?` is any character.

/// Whether a glob matches a whole name.
///
/// The time is at most the product of both lengths, so no glob and no name can keep a worker busy.
pub fn matches(glob: &str, name: &str) -> bool {
    let (glob, name): (&[u8], &[u8]) = (glob.as_bytes(), name.as_bytes());
    let (mut g, mut n) = (0, 0);
    let mut star = None;
    while n < name.len() {
        match glob.get(g) {
            Some(b'*') => {
                star = Some((g + 1, n));
                g += 1;
            }
            Some(b'?') => {
                g += 1;
                n = next(name, n);
            }
            Some(each) if *each == name[n] => {
                g += 1;
                n += 1;
            }
            _ => {
                let Some((after, from)) = star else { return false };
                let from = next(name, from);
                star = Some((after, from));
                (g, n) = (after, from);
            }
        }
    }
    glob[g..].iter().all(|each| *each == b'*')
}

/// Where the character after the one at `at` begins.
fn next(name: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while at < name.len() && name[at] & 0xc0 == 0x80 {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_glob_matches_a_whole_name() {
        for (glob, name, expected) in [
            ("*", "", true),
            ("*", "chat", true),
            ("chat", "chat", true),
            ("chat", "chats", false),
            ("chat", "CHAT", false),
            ("cha", "chat", false),
            ("hat", "chat", false),
            ("cha*", "chat", true),
            ("c?at", "chat", true),
            ("?", "é", true),
            ("??", "é", false),
            ("a?c", "aéc", true),
            ("*t", "chat", true),
            ("*a*", "chat", true),
            ("*b*", "chat", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            (".*", "chat", false),
            ("c.at", "chat", false),
            ("", "", true),
            ("", "a", false),
            ("**", "a", true),
            ("*ab", "aab", true),
            ("*\u{e9}", "a\u{e8}\u{e9}", true),
        ] {
            assert_eq!(matches(glob, name), expected, "{glob} {name}");
        }
    }

    #[test]
    fn no_glob_keeps_a_worker_busy() {
        assert!(!matches(&"*a".repeat(100), &"a".repeat(99)));
        assert!(!matches(&format!("{}b", "*a".repeat(90)), &"a".repeat(20_000)));
    }
}
