//! Habits of speech that are grammatical and yet not what an operator would write, and what to write instead.

/// Words, in lower case, and what the field says. A phrase that begins or ends with a letter is a word or
/// words of its own.
pub struct Habit {
    pub words: &'static [&'static str],
    instead: &'static str,
    /// Where the same words are right.
    fine: &'static [&'static str],
}

const fn habit(words: &'static [&'static str], instead: &'static str) -> Habit {
    Habit { words, instead, fine: &[] }
}

pub const HABITS: &[Habit] = &[
    Habit {
        words: &["is no", "are no", "was no", "were no", "is none", "are none"],
        instead: "is not a, there is no",
        fine: &[
            "there is no",
            "there are no",
            "there was no",
            "there were no",
            "there is none",
            "there are none",
        ],
    },
    Habit {
        words: &["behind"],
        instead: "after",
        fine: &[
            "behind a router",
            "behind real routers",
            "behind a real nic",
            "behind an `arc`",
            "behind a proxy",
        ],
    },
    Habit {
        words: &[", so that"],
        instead: "so (where it is a result and no purpose)",
        fine: &[
            "so that the client stops",
            "so that people can tell",
            "so that sampling of sources continues",
            "so that nobody has to",
            "so that nobody gets an empty answer",
            "so that neither has to",
            "so that no program it executes",
            "so that no other user",
        ],
    },
    habit(&["folder", "folders"], "directory"),
    habit(&["anew"], "again, or a verb with re-"),
    habit(&["mend", "mends", "mended", "mending"], "fix"),
    habit(&["look-up", "look-ups"], "lookup"),
    habit(&["for want of"], "out of, for lack of"),
    habit(&["card", "cards", "network card", "network cards"], "NIC"),
    habit(&["damaged", "damages"], "malformed, corrupted"),
    habit(
        &["give up", "gives up", "gave up", "given up", "giving up"],
        "drop (privileges), discard, stop trying",
    ),
    habit(&["cannot be had", "can be had"], "is not available"),
    habit(&["any more"], "no longer"),
    habit(&["go on", "goes on", "went on", "going on"], "continue, keep"),
    habit(&[", as 0", ", as 1", ", as 2", ", as `", "(as 1", "(as `"], "such as, for example"),
    habit(&["answers who", "for who", "to who", "by who", "and who"], "whoever, clients that"),
    habit(&["stand still", "stands still", "stood still"], "is stuck, stops"),
    habit(&["makes no sense"], "is a usage error, is not valid"),
    habit(&["nobody can have", "nobody can reach"], "impossible, unreachable"),
    habit(&["of so many", "one of so many"], "one in N"),
    habit(&["not there:"], "left out"),
    habit(&["no room"], "full, out of"),
    habit(&["in force"], "in effect"),
    habit(&["that is well", "is well if"], "healthy"),
    habit(&["beside"], "next to, compared with, in addition to"),
    habit(&["take back", "takes back", "taken back", "take it back", "takes it back"], "undo, withdraw"),
    habit(&["give it up", "gives it up", "gives them up"], "drop"),
    habit(&["gets to know", "without it:"], "default:"),
    habit(&["thousand million"], "billion"),
    habit(&["unbidden"], "unasked"),
    habit(&["say how", "says how it is"], "show the state"),
];

/// Every habit in a text: its line, counted from 1, the words, and what to write instead. Line ends and what
/// begins a comment are taken for spaces.
pub fn habits(text: &str) -> Vec<(usize, &'static str, &'static str)> {
    // The same text with single spaces, and the line of each of its bytes.
    let (mut flat, mut lines) = (String::new(), Vec::new());
    for (number, line) in text.lines().enumerate() {
        for word in line.split_whitespace().filter(|word| !["#", "//", "///", "//!", "!"].contains(word)) {
            flat.push_str(&word.to_lowercase());
            flat.push(' ');
            lines.resize(flat.len(), number + 1);
        }
    }
    let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '-');
    let mut found = Vec::new();
    for Habit { words, instead, fine } in HABITS {
        let fine: Vec<(usize, usize)> = fine
            .iter()
            .flat_map(|fine| flat.match_indices(fine).map(|(at, fine)| (at, at + fine.len())))
            .collect();
        for words in *words {
            for (at, _) in flat.match_indices(words) {
                let end = at + words.len();
                let begins_inside =
                    words.starts_with(char::is_alphanumeric) && is_word(flat[..at].chars().next_back());
                let ends_inside = words.ends_with(char::is_alphabetic) && is_word(flat[end..].chars().next());
                // A comma before is part of the habit, and not of what is fine.
                let from = at + words.len() - words.trim_start_matches([',', ' ']).len();
                let is_fine = fine.iter().any(|(start, stop)| *start <= from && end <= *stop);
                if !begins_inside && !ends_inside && !is_fine {
                    found.push((lines[at], *words, *instead));
                }
            }
        }
    }
    found.sort_unstable();
    found
}
