//! Up to where a value is stored as bytes, by the names and defaults of Redis.

/// Owner: a keyspace, told by its core's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodingLimits {
    /// Pairs of a hash.
    pub hash_max_listpack_entries: usize,
    /// Bytes of a field or a value.
    pub hash_max_listpack_value: usize,
    /// Members of a set of integers.
    pub set_max_intset_entries: usize,
    pub set_max_listpack_entries: usize,
    pub set_max_listpack_value: usize,
    pub zset_max_listpack_entries: usize,
    pub zset_max_listpack_value: usize,
    /// Elements of a node if above zero; -1 to -5 are 4, 8, 16, 32 and 64 KiB.
    pub list_max_listpack_size: i64,
}

impl Default for EncodingLimits {
    fn default() -> Self {
        Self {
            hash_max_listpack_entries: 512,
            hash_max_listpack_value: 64,
            set_max_intset_entries: 512,
            set_max_listpack_entries: 128,
            set_max_listpack_value: 64,
            zset_max_listpack_entries: 128,
            zset_max_listpack_value: 64,
            list_max_listpack_size: -2,
        }
    }
}
