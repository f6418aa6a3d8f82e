//! Some of the words of a request, each once: what an effect on a set or a hash names.

use base::Set;

use super::Args;
use crate::effect::{Elements, ElementsBuf};

/// Words without repetition, in their order. Those of a request are borrowed if all are meant.
pub(super) enum Chosen<'a> {
    All(Args<'a>),
    Some { count: usize, words: ElementsBuf },
}

/// From so many words on, a set finds repetitions.
const FEW: usize = 16;

impl<'a> Chosen<'a> {
    /// The words that `is_meant`, each once.
    pub(super) fn of(words: Args<'a>, mut is_meant: impl FnMut(&[u8]) -> bool) -> Self {
        let mut seen: Set<&[u8]> = Set::default();
        let mut some: Option<(usize, ElementsBuf)> = None;
        for (index, word) in words.iter().enumerate() {
            let is_first = match words.len() {
                ..FEW => !words[..index].contains(word),
                _ => seen.insert(word),
            };
            match (is_first && is_meant(word), &mut some) {
                (true, None) => {}
                (true, Some((count, buffer))) => {
                    buffer.push(word);
                    *count += 1;
                }
                (false, None) => {
                    let mut buffer = ElementsBuf::default();
                    words[..index].iter().for_each(|word| buffer.push(word));
                    some = Some((index, buffer));
                }
                (false, Some(_)) => {}
            }
        }
        match some {
            None => Self::All(words),
            Some((count, words)) => Self::Some { count, words },
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::All(words) => words.len(),
            Self::Some { count, .. } => *count,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn elements(&self) -> Elements<'_> {
        match self {
            Self::All(words) => Elements::Words(words),
            Self::Some { words, .. } => words.elements(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Broken once by looking for repetitions in what was chosen only, once by a count that
    /// forgets the words before the first that is not meant.
    #[test]
    fn words_are_chosen_once_and_keep_their_order() {
        let many: Vec<String> = (0..40).map(|number| format!("{}", number % 25)).collect();
        let many: Vec<&[u8]> = many.iter().map(String::as_bytes).collect();
        let few: [&[u8]; 5] = [b"b", b"a", b"b", b"", b"a"];
        for words in [&many[..], &few] {
            for is_meant in [|_: &[u8]| true, |word: &[u8]| word.len() == 1, |_: &[u8]| false] {
                let mut expected: Vec<&[u8]> = Vec::new();
                for word in words {
                    if is_meant(word) && !expected.contains(word) {
                        expected.push(word);
                    }
                }
                let chosen = Chosen::of(words, is_meant);
                assert_eq!(chosen.elements().iter().collect::<Vec<_>>(), expected);
                assert_eq!(chosen.len(), expected.len());
                assert_eq!(chosen.is_empty(), expected.is_empty());
            }
        }
        assert!(matches!(Chosen::of(&few[..2], |_| true), Chosen::All(_)));
    }
}
