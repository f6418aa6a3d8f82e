//! What a client did wrong, in Redis's exact words.

/// A refusal of one command: it changed nothing and wrote no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// `name` is the full name: `get`, `config|get`.
    #[error("ERR wrong number of arguments for '{name}' command")]
    WrongArity { name: &'static str },
    #[error("ERR syntax error")]
    Syntax,
    #[error("WRONGTYPE Operation against a key holding the wrong kind of value")]
    WrongType,
    #[error("ERR value is not an integer or out of range")]
    NotAnInteger,
    #[error("ERR value is out of range, value must between {min} and {max}")]
    OutOfRange { min: i64, max: i64 },
    #[error("ERR increment or decrement would overflow")]
    Overflow,
    #[error("ERR decrement would overflow")]
    DecrementOverflow,
    #[error("ERR value is not a valid float")]
    NotAFloat,
    #[error("ERR increment would produce NaN or Infinity")]
    NotFinite,
    #[error("ERR string exceeds maximum allowed size (proto-max-bulk-len)")]
    StringTooLong,
    #[error("ERR offset is out of range")]
    OffsetOutOfRange,
    #[error("ERR index out of range")]
    IndexOutOfRange,
    #[error("ERR value is out of range, must be positive")]
    NotPositive,
    #[error("ERR {what} can't be negative")]
    Negative { what: &'static str },
    #[error("ERR {what} should be greater than 0")]
    NotAboveZero { what: &'static str },
    #[error(
        "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use \
         negative to start from the end of the list"
    )]
    RankZero,
    #[error("ERR list exceeds maximum allowed number of elements (4294967295)")]
    ListTooLong,
    #[error("BUSYKEY Target key name already exists.")]
    BusyKey,
    #[error("ERR DUMP payload version or checksum are wrong")]
    BadPayload,
    #[error("ERR Bad data format")]
    BadDataFormat,
    #[error("ERR Invalid TTL value, must be >= 0")]
    InvalidTimeToLive,
    #[error("ERR Invalid IDLETIME value, must be >= 0")]
    InvalidIdleTime,
    #[error("ERR Invalid FREQ value, must be >= 0 and <= 255")]
    InvalidFrequency,
    #[error("ERR One or more scores can't be converted into double")]
    WeightNotANumber,
    #[error("ERR no such key")]
    NoSuchKey,
    #[error("ERR source and destination objects are the same")]
    SameObject,
    #[error("ERR DB index is out of range")]
    DatabaseOutOfRange,
    #[error("ERR invalid first DB index")]
    InvalidFirstDatabase,
    #[error("ERR invalid second DB index")]
    InvalidSecondDatabase,
    #[error("ERR invalid cursor")]
    InvalidCursor,
    #[error("ERR invalid expire time in '{name}' command")]
    InvalidExpireTime { name: &'static str },
    /// The word as the client sent it.
    #[error("ERR Unsupported option {}", option.escape_ascii())]
    UnsupportedOption { option: Box<[u8]> },
    #[error("ERR NX and XX, GT or LT options at the same time are not compatible")]
    AbsentAndOther,
    #[error("ERR GT and LT options at the same time are not compatible")]
    GreaterAndLess,
    #[error("ERR value is out of range")]
    BeyondRange,
    #[error("ERR value is NaN or Infinity")]
    NotANumber,
    #[error("ERR hash value is not an integer")]
    HashNotAnInteger,
    #[error("ERR hash value is not a float")]
    HashNotAFloat,
    #[error("ERR numkeys should be greater than 0")]
    TooFewKeys,
    #[error("ERR Number of keys can't be greater than number of args")]
    TooManyKeys,
    #[error("ERR LIMIT can't be negative")]
    NegativeLimit,
    #[error("ERR numfields should be greater than 0 and match the provided number of fields")]
    FieldCount,
    #[error("ERR bit is not an integer or out of range")]
    NotABit,
    #[error("ERR The bit argument must be 1 or 0.")]
    NeitherOneNorZero,
    #[error("ERR bit offset is not an integer or out of range")]
    NotABitOffset,
    #[error("ERR BITOP NOT must be called with a single source key.")]
    NotOfManyKeys,
    #[error(
        "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported \
         but i64 is."
    )]
    NotABitfieldType,
    #[error("ERR Invalid OVERFLOW type specified")]
    NotAnOverflowType,
    #[error("ERR BITFIELD_RO only supports the GET subcommand")]
    BitfieldReadOnly,
    #[error("ERR The specified keys must contain string values")]
    NotStrings,
    #[error("ERR If you want both the length and indexes, please just use IDX.")]
    LengthAndIndexes,
    #[error("ERR Insufficient memory, failed allocating transient memory for LCS")]
    TooLongToCompare,
    #[error("ERR XX and NX options at the same time are not compatible")]
    AbsentAndPresent,
    #[error("ERR GT, LT, and/or NX options at the same time are not compatible")]
    GreaterLessAndAbsent,
    #[error("ERR INCR option supports a single increment-element pair")]
    ManyIncrements,
    #[error("ERR resulting score is not a number (NaN)")]
    ScoreNotANumber,
    #[error("ERR min or max is not a float")]
    NotAScoreRange,
    #[error("ERR min or max not valid string range item")]
    NotALexRange,
    #[error(
        "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX"
    )]
    LimitOfRanks,
    #[error("ERR syntax error, WITHSCORES not supported in combination with BYLEX")]
    ScoresOfLexRange,
    #[error("ERR count should be greater than 0")]
    CountTooSmall,
    #[error("ERR at least 1 input key is needed for '{name}' command")]
    NoInputKey { name: &'static str },
    #[error("ERR weight value is not a float")]
    WeightNotAFloat,
    #[error(
        "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note \
         that when switching between policies at runtime LRU and LFU data will take some time to \
         adjust."
    )]
    FrequencyNotTracked,
    #[error(
        "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when \
         switching between policies at runtime LRU and LFU data will take some time to adjust."
    )]
    IdleTimeNotTracked,
}

impl CommandError {
    /// What the client reads. Words that it sent itself are in it as they came.
    pub fn text(&self) -> Vec<u8> {
        match self {
            Self::UnsupportedOption { option } => {
                [&b"ERR Unsupported option "[..], option].concat()
            }
            error => error.to_string().into_bytes(),
        }
    }
}

/// What an error shows of a word: Redis's texts end at a zero byte.
pub fn until_nul(word: &[u8]) -> &[u8] {
    word.split(|byte| *byte == 0).next().expect("even an empty word has a first part")
}
