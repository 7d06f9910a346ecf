//! The meaning of the values of a column of a Parquet file.

use parquet::basic::{ConvertedType, LogicalType, TimeUnit, Type};
use parquet::schema::types::ColumnDescriptor;

/// The meaning of the values of a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// true or false.
    Boolean,
    /// A whole number.
    Integer {
        /// Whether all of its bits count upwards.
        unsigned: bool,
    },
    /// A floating-point number.
    Float,
    /// A whole number of 10^−scale.
    Decimal {
        /// Digits behind the point.
        scale: u32,
    },
    /// Days since 1970-01-01.
    Date,
    /// So many parts of a second since midnight.
    Time(i64),
    /// So many parts of a second since 1970-01-01.
    Timestamp(i64),
    /// Text.
    Text,
}

impl Kind {
    /// Whether its values are numbers.
    pub fn is_number(self) -> bool {
        matches!(self, Kind::Integer { .. } | Kind::Float | Kind::Decimal { .. })
    }

    /// Whether its values are text, or true and false.
    pub fn is_text(self) -> bool {
        matches!(self, Kind::Text | Kind::Boolean)
    }

    /// The meaning of a column's values; none of those that cannot be read.
    pub fn of(column: &ColumnDescriptor) -> Option<Self> {
        let parts = |unit: &TimeUnit| match unit {
            TimeUnit::MILLIS => 1_000,
            TimeUnit::MICROS => 1_000_000,
            TimeUnit::NANOS => 1_000_000_000,
        };
        let scale = |scale: i32| u32::try_from(scale).ok().filter(|scale| *scale <= 76);
        let physical = column.physical_type();
        let plain = match physical {
            Type::BOOLEAN => Kind::Boolean,
            Type::INT32 | Type::INT64 => Kind::Integer { unsigned: false },
            Type::INT96 => Kind::Timestamp(1_000_000_000),
            Type::FLOAT | Type::DOUBLE => Kind::Float,
            Type::BYTE_ARRAY => Kind::Text,
            Type::FIXED_LEN_BYTE_ARRAY => return Self::of_fixed(column),
        };
        Some(match (column.logical_type_ref(), column.converted_type()) {
            (Some(LogicalType::Decimal(of)), _) => Kind::Decimal { scale: scale(of.scale)? },
            (Some(LogicalType::Date), _) | (None, ConvertedType::DATE) => Kind::Date,
            (Some(LogicalType::Time(of)), _) => Kind::Time(parts(&of.unit)),
            (Some(LogicalType::Timestamp(of)), _) => Kind::Timestamp(parts(&of.unit)),
            (Some(LogicalType::Integer(of)), _) => Kind::Integer { unsigned: !of.is_signed },
            (Some(LogicalType::Uuid | LogicalType::Float16 | LogicalType::Bson), _) => return None,
            (None, ConvertedType::DECIMAL) => Kind::Decimal { scale: scale(column.type_scale())? },
            (None, ConvertedType::TIME_MILLIS) => Kind::Time(1_000),
            (None, ConvertedType::TIME_MICROS) => Kind::Time(1_000_000),
            (None, ConvertedType::TIMESTAMP_MILLIS) => Kind::Timestamp(1_000),
            (None, ConvertedType::TIMESTAMP_MICROS) => Kind::Timestamp(1_000_000),
            (None, converted) if is_unsigned(converted) => Kind::Integer { unsigned: true },
            _ => plain,
        })
    }

    fn of_fixed(column: &ColumnDescriptor) -> Option<Self> {
        let scale = match (column.logical_type_ref(), column.converted_type()) {
            (Some(LogicalType::Decimal(of)), _) => of.scale,
            (None, ConvertedType::DECIMAL) => column.type_scale(),
            _ => return None,
        };
        u32::try_from(scale).ok().filter(|scale| *scale <= 76).map(|scale| Kind::Decimal { scale })
    }
}

fn is_unsigned(converted: ConvertedType) -> bool {
    use ConvertedType::{UINT_8, UINT_16, UINT_32, UINT_64};
    matches!(converted, UINT_8 | UINT_16 | UINT_32 | UINT_64)
}
