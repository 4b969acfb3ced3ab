//! The texts as a Parquet file: one row an item, zstd, a row group every 32 MiB of text.

use crate::VaultError;
use crate::vault::items::OpenItem;
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use std::fs::File;
use std::sync::Arc;

/// Text columns in order. `text` is the whole; of a pair its first `prompt_bytes` bytes are the prompt.
pub(super) const TEXTS: &[(&str, &str)] = &[
    ("text", "The text; of a prompt-completion pair, both."),
    ("license", "SPDX expression of the licence."),
    ("source", "Where the owner's files held it."),
    ("group", "Natural contributor, such as a repository."),
    ("authors", "Authors as the source names them, joined by `; `."),
    ("language", "ISO 639-3 code, or und."),
    ("owner", "Account of the contributor on the ledger."),
    ("leaf", "Salted Merkle leaf of the item."),
];
/// Number columns in order.
pub(super) const NUMBERS: &[(&str, &str)] = &[
    ("prompt_bytes", "Bytes of the text that are prompt."),
    ("tokens", "Estimated tokens."),
    ("nu_ppm", "Novelty at its commit, in parts per million."),
];
const GROUP_BYTES: usize = 32 << 20;

pub(super) struct Table {
    writer: SerializedFileWriter<File>,
    texts: Vec<Vec<ByteArray>>,
    numbers: Vec<Vec<i64>>,
    bytes: usize,
}

fn failed(error: ParquetError) -> VaultError {
    VaultError::Declaration(format!("the Parquet file cannot be written: {error}"))
}

impl Table {
    pub(super) fn new(file: File) -> Result<Table, VaultError> {
        let texts = TEXTS.iter().map(|(name, _)| format!("REQUIRED BYTE_ARRAY {name} (STRING);"));
        let numbers = NUMBERS.iter().map(|(name, _)| format!("REQUIRED INT64 {name};"));
        let columns: String = texts.chain(numbers).collect();
        let schema = parse_message_type(&format!("message item {{ {columns} }}")).map_err(failed)?;
        let properties =
            WriterProperties::builder().set_compression(Compression::ZSTD(Default::default())).build();
        let writer =
            SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties)).map_err(failed)?;
        let (texts, numbers) = (vec![Vec::new(); TEXTS.len()], vec![Vec::new(); NUMBERS.len()]);
        Ok(Table { writer, texts, numbers, bytes: 0 })
    }

    pub(super) fn add(&mut self, item: OpenItem) -> Result<(), VaultError> {
        let OpenItem { index: _, meta, text } = item;
        self.bytes += text.len();
        let values: [String; 8] = [
            text,
            meta.facts.licence.clone(),
            meta.source,
            meta.group.unwrap_or_default(),
            meta.authors.join("; "),
            meta.language.unwrap_or_else(|| "und".into()),
            meta.facts.owner.to_string(),
            meta.facts.leaf().to_string(),
        ];
        for (column, value) in self.texts.iter_mut().zip(values) {
            column.push(ByteArray::from(value.into_bytes()));
        }
        let values = [meta.facts.prompt_bytes as i64, meta.tokens as i64, i64::from(meta.nu_ppm)];
        for (column, value) in self.numbers.iter_mut().zip(values) {
            column.push(value);
        }
        if self.bytes >= GROUP_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), VaultError> {
        if self.numbers[0].is_empty() {
            return Ok(());
        }
        let mut group = self.writer.next_row_group().map_err(failed)?;
        for values in &mut self.texts {
            let mut column = group.next_column().map_err(failed)?.expect("a column per text");
            column.typed::<ByteArrayType>().write_batch(values, None, None).map_err(failed)?;
            column.close().map_err(failed)?;
            values.clear();
        }
        for values in &mut self.numbers {
            let mut column = group.next_column().map_err(failed)?.expect("a column per number");
            column.typed::<Int64Type>().write_batch(values, None, None).map_err(failed)?;
            column.close().map_err(failed)?;
            values.clear();
        }
        group.close().map_err(failed)?;
        self.bytes = 0;
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<(), VaultError> {
        self.flush()?;
        self.writer.close().map(drop).map_err(failed)
    }
}
