//! Parquet files from tables.

use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::{ParquetError, Result as Written};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::{Type, TypePtr};

/// Rows of a group.
const GROUP: usize = 1 << 17;

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

/// The bytes of a Parquet file with these columns; `number` and `text` give the value in a row and a column, where there is one. The footer
/// says that this crate wrote `content`.
///
/// # Errors
/// Those of the writer: names that Parquet does not take.
pub(crate) fn bytes<'a>(
    columns: &[(String, Held)],
    rows: usize,
    content: &str,
    number: impl Fn(usize, usize) -> Option<f64>,
    text: impl Fn(usize, usize) -> Option<&'a str>,
) -> Written<Vec<u8>> {
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
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties.build()))?;
    for first in (0..rows).step_by(GROUP) {
        let part = first..rows.min(first + GROUP);
        let mut group = writer.next_row_group()?;
        for (c, (_, held)) in columns.iter().enumerate() {
            let column = group
                .next_column()?
                .ok_or_else(|| ParquetError::General("a column too few".into()))?;
            match held {
                Held::Integers => {
                    let values = part.clone().map(|row| number(row, c).map(|v| v as i64));
                    write::<Int64Type>(column, values)?;
                }
                Held::Numbers => {
                    write::<DoubleType>(column, part.clone().map(|row| number(row, c)))?
                }
                Held::Text => {
                    let values = part.clone().map(|row| text(row, c).map(ByteArray::from));
                    write::<ByteArrayType>(column, values)?;
                }
            }
        }
        group.close()?;
    }
    writer.into_inner()
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
