//! The values of one column of a Parquet file, a batch at a time.

use std::fmt::Write;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta};
use parquet::column::reader::ColumnReader;
use parquet::data_type::{ByteArray, FixedLenByteArray, Int96};
use parquet::errors::{ParquetError, Result as Unpacked};

use super::kind::Kind;
use crate::io::column::digits;

/// A column that is read, and the last batch of it.
pub(crate) struct Decoder {
    reader: ColumnReader,
    kind: Kind,
    /// The level of a value that is there; 0 where all are.
    present: i16,
    levels: Vec<i16>,
    values: Values,
    rows: usize,
}

/// Values as they are stored; those that are missing are not among them.
enum Values {
    Boolean(Vec<bool>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Int96(Vec<Int96>),
    Float(Vec<f32>),
    Double(Vec<f64>),
    Bytes(Vec<ByteArray>),
    Fixed(Vec<FixedLenByteArray>),
}

/// Calls `$f` with the reader of a column and the list of its values.
macro_rules! typed {
    ($reader:expr, $values:expr, $f:expr) => {
        match ($reader, $values) {
            (ColumnReader::BoolColumnReader(r), Values::Boolean(v)) => $f(r, v),
            (ColumnReader::Int32ColumnReader(r), Values::Int32(v)) => $f(r, v),
            (ColumnReader::Int64ColumnReader(r), Values::Int64(v)) => $f(r, v),
            (ColumnReader::Int96ColumnReader(r), Values::Int96(v)) => $f(r, v),
            (ColumnReader::FloatColumnReader(r), Values::Float(v)) => $f(r, v),
            (ColumnReader::DoubleColumnReader(r), Values::Double(v)) => $f(r, v),
            (ColumnReader::ByteArrayColumnReader(r), Values::Bytes(v)) => $f(r, v),
            (ColumnReader::FixedLenByteArrayColumnReader(r), Values::Fixed(v)) => $f(r, v),
            _ => Err(ParquetError::General("a column of two types".into())),
        }
    };
}

impl Decoder {
    /// A column before its first row.
    pub fn new(reader: ColumnReader, kind: Kind, present: i16) -> Self {
        let values = match reader {
            ColumnReader::BoolColumnReader(_) => Values::Boolean(Vec::new()),
            ColumnReader::Int32ColumnReader(_) => Values::Int32(Vec::new()),
            ColumnReader::Int64ColumnReader(_) => Values::Int64(Vec::new()),
            ColumnReader::Int96ColumnReader(_) => Values::Int96(Vec::new()),
            ColumnReader::FloatColumnReader(_) => Values::Float(Vec::new()),
            ColumnReader::DoubleColumnReader(_) => Values::Double(Vec::new()),
            ColumnReader::ByteArrayColumnReader(_) => Values::Bytes(Vec::new()),
            ColumnReader::FixedLenByteArrayColumnReader(_) => Values::Fixed(Vec::new()),
        };
        Decoder { reader, kind, present, levels: Vec::new(), values, rows: 0 }
    }

    /// Passes over rows.
    pub fn skip(&mut self, rows: usize) -> Unpacked<()> {
        let skipped = typed!(&mut self.reader, &self.values, |r: &mut _, _| skip(r, rows))?;
        enough(skipped, rows)
    }

    /// Reads the next rows.
    pub fn read(&mut self, rows: usize) -> Unpacked<()> {
        self.levels.clear();
        self.rows = rows;
        let levels = &mut self.levels;
        let read = typed!(&mut self.reader, &mut self.values, |r: &mut _, v: &mut _| read(
            r, rows, levels, v
        ))?;
        enough(read, rows)
    }

    /// Calls `f` with each row and the place of its value, none where that is missing.
    fn places(&self, mut f: impl FnMut(usize, Option<usize>)) {
        let mut place = 0;
        for row in 0..self.rows {
            let is_there = self.is_there(row);
            f(row, is_there.then_some(place));
            place += usize::from(is_there);
        }
    }

    /// The number of rows of the batch.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Whether its values are decimals, whose text has all of their digits.
    pub fn is_decimal(&self) -> bool {
        matches!(self.kind, Kind::Decimal { .. })
    }

    /// Whether a row has a value.
    pub fn is_there(&self, row: usize) -> bool {
        self.present == 0 || self.levels.get(row) == Some(&self.present)
    }

    /// Writes the numbers of the batch to every `step`-th place; NaN where a value is missing or no number.
    pub fn numbers(&self, out: &mut [f64], step: usize) {
        let is_unsigned = self.kind == Kind::Integer { unsigned: true };
        match (&self.values, self.kind) {
            (Values::Double(v), _) => self.spread(v, out, step, |v| *v),
            (Values::Float(v), _) => self.spread(v, out, step, |v| f64::from(*v)),
            (Values::Int32(v), Kind::Integer { .. }) if is_unsigned => {
                self.spread(v, out, step, |v| f64::from(v.cast_unsigned()));
            }
            (Values::Int32(v), Kind::Integer { .. }) => {
                self.spread(v, out, step, |v| f64::from(*v))
            }
            (Values::Int64(v), Kind::Integer { .. }) if is_unsigned => {
                self.spread(v, out, step, |v| v.cast_unsigned() as f64);
            }
            (Values::Int64(v), Kind::Integer { .. }) => self.spread(v, out, step, |v| *v as f64),
            _ => self.places(|row, place| {
                let number =
                    place.and_then(|place| self.text(place)).and_then(|text| text.parse().ok());
                out[row * step] = number.filter(|_| self.kind.is_number()).unwrap_or(f64::NAN);
            }),
        }
    }

    fn spread<T>(&self, values: &[T], out: &mut [f64], step: usize, to: impl Fn(&T) -> f64) {
        if self.present == 0 {
            values.iter().zip(out.iter_mut().step_by(step)).for_each(|(v, out)| *out = to(v));
        } else {
            self.places(|row, place| {
                out[row * step] = place.and_then(|place| values.get(place)).map_or(f64::NAN, &to);
            });
        }
    }

    /// Calls `f` with the text of each row, none where a value is missing.
    pub fn texts(&self, mut f: impl FnMut(usize, Option<&str>)) {
        self.places(|row, place| match (place, &self.values) {
            (Some(place), Values::Bytes(v)) if self.kind == Kind::Text => {
                f(row, v.get(place).and_then(|v| std::str::from_utf8(v.data()).ok()));
            }
            (place, _) => f(row, place.and_then(|place| self.text(place)).as_deref()),
        });
    }

    /// The value at a place as text.
    fn text(&self, place: usize) -> Option<String> {
        Some(match &self.values {
            Values::Boolean(v) => v.get(place)?.to_string(),
            // The number in f64, as it is computed with.
            Values::Float(v) => digits(f64::from(*v.get(place)?)),
            Values::Double(v) => digits(*v.get(place)?),
            Values::Int32(v) if self.kind == (Kind::Integer { unsigned: true }) => {
                v.get(place)?.cast_unsigned().to_string()
            }
            Values::Int64(v) if self.kind == (Kind::Integer { unsigned: true }) => {
                v.get(place)?.cast_unsigned().to_string()
            }
            Values::Int32(v) => whole(i64::from(*v.get(place)?), self.kind)?,
            Values::Int64(v) => whole(*v.get(place)?, self.kind)?,
            Values::Int96(v) => whole(nanoseconds(v.get(place)?)?, self.kind)?,
            Values::Bytes(v) => decimal(v.get(place)?.data(), self.kind)?,
            Values::Fixed(v) => decimal(v.get(place)?.data(), self.kind)?,
        })
    }
}

/// Nanoseconds since 1970 of a time of day and a Julian day; none beyond the range, the years 1677 to 2262.
fn nanoseconds(time: &Int96) -> Option<i64> {
    /// The Julian day of 1970-01-01.
    const EPOCH: i64 = 2_440_588;
    let &[low, high, day] = time.data() else {
        return None;
    };
    let of_day = i64::from(high) << 32 | i64::from(low);
    (i64::from(day) - EPOCH).checked_mul(86_400_000_000_000)?.checked_add(of_day)
}

fn skip<T: parquet::data_type::DataType>(
    reader: &mut parquet::column::reader::ColumnReaderImpl<T>,
    rows: usize,
) -> Unpacked<usize> {
    reader.skip_records(rows)
}

fn read<T: parquet::data_type::DataType>(
    reader: &mut parquet::column::reader::ColumnReaderImpl<T>,
    rows: usize,
    levels: &mut Vec<i16>,
    values: &mut Vec<T::T>,
) -> Unpacked<usize> {
    values.clear();
    reader.read_records(rows, Some(levels), None, values).map(|(records, ..)| records)
}

fn enough(found: usize, wanted: usize) -> Unpacked<()> {
    if found == wanted {
        return Ok(());
    }
    Err(ParquetError::General(format!("a column has {found} rows where {wanted} should be")))
}

/// A whole number as what it means; none beyond the range of dates.
fn whole(v: i64, kind: Kind) -> Option<String> {
    let split = |parts: i64| {
        let nanos = v.rem_euclid(parts) * (1_000_000_000 / parts);
        (v.div_euclid(parts), u32::try_from(nanos).unwrap_or(0))
    };
    match kind {
        Kind::Decimal { scale } => Some(pointed(i128::from(v).unsigned_abs(), v < 0, scale)),
        Kind::Date => {
            let day = NaiveDate::default().checked_add_signed(TimeDelta::try_days(v)?)?;
            Some(day.format("%Y-%m-%d").to_string())
        }
        Kind::Time(parts) => {
            let (seconds, nanos) = split(parts);
            let time =
                NaiveTime::from_num_seconds_from_midnight_opt(u32::try_from(seconds).ok()?, nanos)?;
            Some(time.format("%H:%M:%S%.f").to_string())
        }
        Kind::Timestamp(parts) => {
            let (seconds, nanos) = split(parts);
            let at = DateTime::from_timestamp(seconds, nanos)?;
            Some(at.format("%Y-%m-%d %H:%M:%S%.f").to_string())
        }
        _ => Some(v.to_string()),
    }
}

/// A decimal from its bytes, the first of which weighs most; none of more than 16 bytes.
fn decimal(bytes: &[u8], kind: Kind) -> Option<String> {
    let Kind::Decimal { scale } = kind else {
        return None;
    };
    let is_negative = bytes.first().is_some_and(|b| b & 0x80 > 0);
    let fill = if is_negative { 0xFF } else { 0 };
    let rest = bytes.len().saturating_sub(16);
    // Longer ones may hold small numbers all the same.
    let (above, bytes) = bytes.split_at(rest);
    if above.iter().any(|b| *b != fill) {
        return None;
    }
    let mut all = [fill; 16];
    all[16 - bytes.len()..].copy_from_slice(bytes);
    let v = i128::from_be_bytes(all);
    (rest == 0 || (v < 0) == is_negative).then(|| pointed(v.unsigned_abs(), v < 0, scale))
}

/// The digits of a whole number with a point before the last `scale` of them.
fn pointed(digits: u128, is_negative: bool, scale: u32) -> String {
    let scale = scale as usize;
    let mut text = format!("{digits:0>width$}", width = scale + 1);
    if scale > 0 {
        text.insert(text.len() - scale, '.');
    }
    let mut out = String::new();
    let _ = write!(out, "{}{text}", if is_negative { "-" } else { "" });
    out
}
