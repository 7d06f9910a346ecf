//! Parquet files from tables, a group of rows at a time.

use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::{ParquetError, Result as Written};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::{Type, TypePtr};

use crate::io::column::cell::{Numerals, whole};
use crate::io::column::classes::is_code;

/// Cells of a group, where its rows are not too few or too many.
const CELLS: usize = 1 << 20;
/// The fewest and the most rows of a group.
const ROWS: [usize; 2] = [1 << 8, 1 << 17];

/// Bytes of the cells of a group, but for its last row: 32 MiB, a choice.
const BYTES: usize = 1 << 25;

/// The rows of a group of a table, which takes as many as there is room for.
#[derive(Clone, Copy)]
pub(crate) struct GroupRoom {
    rows: usize,
    bytes: usize,
}

impl GroupRoom {
    /// That of a group of a table with so many columns.
    pub fn of(columns: usize) -> Self {
        GroupRoom { rows: (CELLS / columns.max(1)).clamp(ROWS[0], ROWS[1]), bytes: BYTES }
    }

    /// Whether another row has room.
    pub fn is_left(self) -> bool {
        self.rows > 0 && self.bytes > 0
    }

    /// Takes a row with so many bytes in its cells.
    pub fn take(&mut self, bytes: usize) {
        self.rows -= 1;
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// The kind of values of a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Held {
    /// Whole numbers.
    Integers,
    /// Numbers.
    Numbers,
    /// Text.
    Text,
}

impl Held {
    /// The kind that holds a cell, too: text is no number, nor is a code such as `007`.
    pub fn and(self, cell: &str, numerals: Numerals) -> Self {
        if self == Held::Text || numerals.number(cell).is_err() || is_code(cell) {
            return Held::Text;
        }
        let is_whole = match whole(cell) {
            // Whole numbers have no −0.
            Some(0) => !cell.starts_with('-'),
            number => number.is_some(),
        };
        if is_whole { self } else { Held::Numbers }
    }
}

/// A Parquet file on its way.
pub(crate) struct Groups<'a> {
    columns: Vec<Held>,
    writer: SerializedFileWriter<Ready>,
    ready: Ready,
    out: &'a mut dyn Write,
}

impl<'a> Groups<'a> {
    /// A file with these columns and no rows yet. Its footer says that this crate wrote `content`.
    ///
    /// # Errors
    /// Those of the writer: names that Parquet does not take.
    pub fn new(columns: &[(String, Held)], content: &str, out: &'a mut dyn Write) -> Written<Self> {
        let field = |(name, held): &(String, Held)| -> Written<TypePtr> {
            let (physical, logical) = match held {
                Held::Integers => (Physical::INT64, None),
                Held::Numbers => (Physical::DOUBLE, None),
                Held::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            };
            let field = Type::primitive_type_builder(name, physical).with_logical_type(logical);
            Ok(Arc::new(field.with_repetition(Repetition::OPTIONAL).build()?))
        };
        let fields = columns.iter().map(field).collect::<Written<_>>()?;
        let schema = Arc::new(Type::group_type_builder("schema").with_fields(fields).build()?);
        let properties = WriterProperties::builder()
            .set_created_by(format!("secondo version {} ({content})", env!("CARGO_PKG_VERSION")))
            .set_compression(Compression::SNAPPY);
        let ready = Ready::default();
        let writer =
            SerializedFileWriter::new(ready.clone(), schema, Arc::new(properties.build()))?;
        let columns = columns.iter().map(|(_, held)| *held).collect();
        Ok(Groups { columns, writer, ready, out })
    }

    /// Adds rows; `number` and `text` give the value in a row, from 0, and a column, where there is one.
    ///
    /// # Errors
    /// Those of the writer, and of what it writes to.
    pub fn add<'b>(
        &mut self,
        rows: usize,
        number: impl Fn(usize, usize) -> Option<f64>,
        text: impl Fn(usize, usize) -> Option<&'b str>,
    ) -> Written<()> {
        let mut group = self.writer.next_row_group()?;
        for (c, held) in self.columns.iter().enumerate() {
            let column = group
                .next_column()?
                .ok_or_else(|| ParquetError::General("a column too few".into()))?;
            match held {
                Held::Integers => {
                    let values = (0..rows).map(|row| number(row, c).map(|v| v as i64));
                    write::<Int64Type>(column, values)?;
                }
                Held::Numbers => write::<DoubleType>(column, (0..rows).map(|row| number(row, c)))?,
                Held::Text => {
                    let values = (0..rows).map(|row| text(row, c).map(ByteArray::from));
                    write::<ByteArrayType>(column, values)?;
                }
            }
        }
        group.close()?;
        Ok(self.out.write_all(&self.ready.take())?)
    }

    /// Writes the footer.
    ///
    /// # Errors
    /// As of [`add`](Self::add).
    pub fn end(self) -> Written<()> {
        self.writer.into_inner()?;
        Ok(self.out.write_all(&self.ready.take())?)
    }
}

/// Bytes that are ready to be written: the writer wants to own what it writes to.
#[derive(Clone, Default)]
struct Ready(Arc<Mutex<Vec<u8>>>);

impl Ready {
    fn take(&self) -> Vec<u8> {
        mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Ready {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes the values of a column, of which some are missing.
fn write<T: DataType>(
    mut column: SerializedColumnWriter,
    values: impl Iterator<Item = Option<T::T>>,
) -> Written<()> {
    let (mut levels, mut there) = (Vec::new(), Vec::new());
    for value in values {
        levels.push(i16::from(value.is_some()));
        there.extend(value);
    }
    column.typed::<T>().write_batch(&there, Some(&levels), None)?;
    column.close()
}
