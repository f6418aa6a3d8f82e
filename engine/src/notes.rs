//! What a command leaves for the node besides its reply and its effects: counts, keyspace
//! notifications, and keys it looked at that its declaration does not tell.

/// Gathered over one command or over many; the node takes what it needs and clears it.
#[derive(Debug, Default)]
pub struct Notes {
    pub lookups: Lookups,
    /// In the order they happened. Published once the effects are settled.
    pub events: Vec<KeyEvent>,
    /// Databases and keys that had expired and were passed over by a command over all keys.
    /// To be deleted by an effect, on which the reply waits.
    pub hidden: Vec<(u16, Box<[u8]>)>,
    /// Databases and keys the outcome depends on besides those the declaration names in the
    /// client's database: the target of COPY or MOVE in another one.
    pub also_seen: Vec<(u16, Box<[u8]>)>,
}

/// Reads that found their key and reads that did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lookups {
    pub hits: u64,
    pub misses: u64,
}

/// One keyspace notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEvent {
    pub name: &'static str,
    pub db: u16,
    pub key: Box<[u8]>,
}

impl Notes {
    /// Gathers an event if its class is wanted.
    pub fn notify(
        &mut self,
        wanted: Classes,
        class: Class,
        name: &'static str,
        place: (u16, &[u8]),
    ) {
        if wanted.contains(class) {
            let (db, key) = place;
            self.events.push(KeyEvent { name, db, key: key.into() });
        }
    }

    pub fn clear(&mut self) {
        self.lookups = Lookups::default();
        self.events.clear();
        self.hidden.clear();
        self.also_seen.clear();
    }
}

/// What kinds of events there are (Redis: `notify-keyspace-events`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Generic,
    String,
    List,
    Set,
    Hash,
    SortedSet,
    Stream,
    Expired,
    Evicted,
    New,
    KeyMiss,
    Module,
}

/// Which events are wanted and on which channels. None is, unless configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Classes(u16);

/// Letters of the configuration, in the order Redis prints them.
const LETTERS: &[(u8, u16)] = &[
    (b'g', 1 << Class::Generic as u16),
    (b'$', 1 << Class::String as u16),
    (b'l', 1 << Class::List as u16),
    (b's', 1 << Class::Set as u16),
    (b'h', 1 << Class::Hash as u16),
    (b'z', 1 << Class::SortedSet as u16),
    (b'x', 1 << Class::Expired as u16),
    (b'e', 1 << Class::Evicted as u16),
    (b't', 1 << Class::Stream as u16),
    (b'd', 1 << Class::Module as u16),
];
const REST: &[(u8, u16)] = &[
    (b'K', KEYSPACE),
    (b'E', KEYEVENT),
    (b'm', 1 << Class::KeyMiss as u16),
    (b'n', 1 << Class::New as u16),
];
const KEYSPACE: u16 = 1 << 14;
const KEYEVENT: u16 = 1 << 15;

impl Classes {
    /// Reads the letters of the directive; None if one is unknown.
    pub fn parse(letters: &[u8]) -> Option<Self> {
        let mut classes = Self::default();
        for letter in letters {
            classes.0 |= match letter {
                b'A' => Self::of_a(),
                letter => LETTERS.iter().chain(REST).find(|(known, _)| known == letter)?.1,
            };
        }
        Some(classes)
    }

    /// The letters as Redis prints them.
    pub fn letters(self) -> String {
        let mut text = String::new();
        if self.0 & Self::of_a() == Self::of_a() {
            text.push('A');
        } else {
            let chosen = LETTERS.iter().filter(|(_, bit)| self.0 & bit != 0);
            text.extend(chosen.map(|(letter, _)| char::from(*letter)));
        }
        let chosen = REST.iter().filter(|(_, bit)| self.0 & bit != 0);
        text.extend(chosen.map(|(letter, _)| char::from(*letter)));
        text
    }

    /// Is an event of this class published on any channel?
    pub fn contains(self, class: Class) -> bool {
        self.0 & (KEYSPACE | KEYEVENT) != 0 && self.0 & (1 << class as u16) != 0
    }

    /// Are events published on the channels of keys, `__keyspace@0__:key`?
    pub fn on_keyspace(self) -> bool {
        self.0 & KEYSPACE != 0
    }

    /// Are events published on the channels of events, `__keyevent@0__:name`?
    pub fn on_keyevent(self) -> bool {
        self.0 & KEYEVENT != 0
    }

    /// What `A` stands for: all but misses and new keys.
    fn of_a() -> u16 {
        LETTERS.iter().fold(0, |all, (_, bit)| all | bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Broken once by leaving `d` out of what `A` stands for.
    #[test]
    fn classes_are_read_and_printed_as_redis_does() {
        for (letters, printed) in [
            ("", ""),
            ("KEA", "AKE"),
            ("AKE", "AKE"),
            ("Ex", "xE"),
            ("Kg$lshzxetd", "AK"),
            ("Kg$lshzxet", "g$lshzxetK"),
            ("KEAmn", "AKEmn"),
            ("nE", "En"),
        ] {
            let classes = Classes::parse(letters.as_bytes()).expect("all letters are known");
            assert_eq!(classes.letters(), printed, "{letters}");
        }
        assert_eq!(Classes::parse(b"KEq"), None);
    }

    #[test]
    fn an_event_is_wanted_if_its_class_and_a_channel_are() {
        let wants = |letters: &str, class| {
            let classes = Classes::parse(letters.as_bytes()).expect("all letters are known");
            classes.contains(class)
        };
        assert!(wants("K$", Class::String));
        assert!(wants("EA", Class::Generic));
        assert!(!wants("EA", Class::New));
        assert!(!wants("EA", Class::KeyMiss));
        assert!(!wants("$", Class::String));
        assert!(!wants("Kg", Class::String));
        let both = Classes::parse(b"Kx").expect("both letters are known");
        assert!(both.on_keyspace() && !both.on_keyevent());
    }
}
