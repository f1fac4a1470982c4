//! Messages of protocol buffers, as far as logs need them: numbers, texts and messages in messages.

/// The bytes of a message.
#[derive(Default)]
pub struct Message(pub Vec<u8>);

impl Message {
    /// An integer or a truth.
    pub fn varint(&mut self, field: u32, value: u64) {
        self.key(field, 0);
        self.number(value);
    }

    pub fn double(&mut self, field: u32, value: f64) {
        self.key(field, 1);
        self.0.extend(value.to_le_bytes());
    }

    pub fn float(&mut self, field: u32, value: f32) {
        self.key(field, 5);
        self.0.extend(value.to_le_bytes());
    }

    /// A text, bytes, or a message.
    pub fn bytes(&mut self, field: u32, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.key(field, 2);
        self.number(bytes.len() as u64);
        self.0.extend(bytes);
    }

    /// A message that `fill` fills.
    pub fn message(&mut self, field: u32, fill: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        fill(&mut inner);
        self.bytes(field, inner.0);
    }

    /// Number and wire type of a field.
    fn key(&mut self, field: u32, wire: u64) {
        self.number(u64::from(field) << 3 | wire);
    }

    fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}
