//! Parquet files: what their footers say, and their columns, a batch of rows at a time.
//!
//! The footer is checked before it is used: what a page's place and a column's size say must lie within the file. Lists and
//! structures are left out. The crate `parquet` decodes pages; zstd is unpacked by `ruzstd`, so that no C is compiled.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::Compression;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::column::reader::get_column_reader;
use parquet::errors::{ParquetError, Result as Unpacked};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::serialized_reader::SerializedPageReader;

use super::batch::Decoder;
use super::identity::Identity;
use super::kind::Kind;
use super::progress::{add_bytes, add_rows};
use crate::error::{Error, Result};
use crate::guard;
use crate::io::json::format_error;

/// Bytes of a page that is unpacked, at the most: writers make pages of 1 MiB.
const PAGE: u64 = 1 << 30;

/// A Parquet file.
#[derive(Debug)]
pub(crate) struct Parquet {
    path: PathBuf,
    identity: Identity,
    metadata: ParquetMetaData,
    /// The columns that can be read.
    pub columns: Vec<ColumnOf>,
    /// The names of the others.
    left_out: Vec<String>,
    rows: usize,
}

/// A column of a Parquet file.
#[derive(Debug, Clone)]
pub(crate) struct ColumnOf {
    /// Its name.
    pub name: String,
    /// The meaning of its values.
    pub kind: Kind,
    /// Its place among the columns of the file.
    leaf: usize,
}

impl ColumnOf {
    /// Whether it has the name that pandas gives to an index.
    pub fn is_index(&self) -> bool {
        self.name.starts_with("__index_level_")
    }
}

/// Why a value of a column of text or times cannot be read.
pub(crate) const UNREADABLE: &str =
    "a value that cannot be read: a date or a number beyond their range, or text that is not UTF-8";

/// Calls the foreign reader. Its documentation promises errors for damaged files; where it panics all the same, that is the file's
/// fault, and an error like the others.
fn foreign<T>(path: &Path, f: impl FnOnce() -> Unpacked<T>) -> Result<T> {
    let why = match guard::call("reader", "parquet", f) {
        Ok(Ok(done)) => return Ok(done),
        Ok(Err(error)) => error.to_string(),
        Err(Error::Part { why, .. }) => why,
        Err(other) => return Err(other),
    };
    Err(format_error(
        path,
        format!("the Parquet file is damaged or of an unknown form ({why}); write it anew"),
    ))
}

impl Parquet {
    /// The file at `path`, of which the footer alone is read.
    ///
    /// # Errors
    /// A file that cannot be read, is no Parquet file, or is cut off.
    pub fn open(path: &Path) -> Result<Self> {
        let (file, identity) = Identity::open(path)?;
        let read = || ParquetMetaDataReader::new().parse_and_finish(&file);
        let metadata = foreign(path, read)?;
        let wrong = |why: &str| {
            format_error(
                path,
                format!("the Parquet file's footer is damaged: {why}; write it anew"),
            )
        };
        let mut rows = 0usize;
        for group in metadata.row_groups() {
            rows = usize::try_from(group.num_rows())
                .ok()
                .and_then(|count| rows.checked_add(count))
                .ok_or_else(|| wrong("a number of rows"))?;
            if group.num_columns() != metadata.file_metadata().schema_descr().num_columns() {
                return Err(wrong("a group without all columns"));
            }
            if !group.columns().iter().all(|chunk| is_within(chunk, identity.len)) {
                return Err(wrong("a column that is not within the file"));
            }
        }
        if usize::try_from(metadata.file_metadata().num_rows()).ok() != Some(rows) {
            return Err(wrong("another number of rows than its groups have"));
        }
        let (mut columns, mut left_out) = (Vec::new(), Vec::new());
        let schema = metadata.file_metadata().schema_descr();
        for (leaf, column) in schema.columns().iter().enumerate() {
            let parts = column.path().parts();
            let name = parts.first().cloned().unwrap_or_default();
            let is_flat = parts.len() == 1 && column.max_rep_level() == 0;
            match Kind::of(column).filter(|_| is_flat) {
                Some(kind) => columns.push(ColumnOf { name, kind, leaf }),
                None if left_out.last() == Some(&name) => {}
                None => left_out.push(name),
            }
        }
        Ok(Parquet { path: path.to_path_buf(), identity, columns, left_out, rows, metadata })
    }

    /// The names of the columns that are not read: lists, structures, and an index of pandas.
    pub fn not_read(&self) -> Vec<String> {
        let indices = self.columns.iter().filter(|column| column.is_index());
        indices.map(|column| &column.name).chain(&self.left_out).cloned().collect()
    }

    /// The error of a value that cannot be read, in a row counted from 0.
    pub fn unreadable(&self, column: usize, row: usize) -> Error {
        Error::Format {
            path: self.path.clone(),
            line: None,
            column: Some(self.columns[column].name.clone()),
            why: format!("row {}: {UNREADABLE}", row + 1),
        }
    }

    /// n.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes that reading these columns holds besides what is read: about two pages and a dictionary of each.
    pub fn held(&self, columns: &[usize]) -> u64 {
        let of_column = |column: &usize| {
            let leaf = self.columns[*column].leaf;
            let sizes = self
                .metadata
                .row_groups()
                .iter()
                .map(|group| group.column(leaf).uncompressed_size());
            (sizes.max().unwrap_or(0).max(0) as u64).min(3 << 20)
        };
        columns.iter().map(of_column).sum()
    }

    /// A walk over some of the columns, from a row on.
    ///
    /// # Errors
    /// The file is not there any more, or was changed.
    pub fn walk(self: &Arc<Self>, columns: &[usize], first: usize) -> Result<Groups> {
        let file = Arc::new(self.identity.again(&self.path)?);
        let mut walk = Groups {
            parquet: self.clone(),
            file,
            columns: columns.to_vec(),
            next: 0,
            left: 0,
            decoders: Vec::new(),
        };
        let mut skip = first.min(self.rows);
        let groups = self.metadata.row_groups();
        while skip > 0 {
            let rows = groups.get(walk.next).map(|group| group.num_rows());
            let rows = rows.and_then(|rows| usize::try_from(rows).ok());
            // A whole group need not be opened.
            if let Some(rows) = rows.filter(|rows| *rows <= skip) {
                walk.next += 1;
                skip -= rows;
                continue;
            }
            walk.open_group()?;
            let count = skip.min(walk.left);
            let path = &self.path;
            (walk.decoders.iter_mut())
                .try_for_each(|decoder| foreign(path, || decoder.skip(count)))?;
            walk.left -= count;
            skip -= count;
        }
        Ok(walk)
    }
}

/// Whether a column's pages lie within a file of so many bytes.
fn is_within(chunk: &ColumnChunkMetaData, len: u64) -> bool {
    let start = chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset());
    let size = chunk.compressed_size();
    let end = start.checked_add(size).and_then(|end| u64::try_from(end).ok());
    start >= 0 && size >= 0 && end.is_some_and(|end| end <= len)
}

/// A walk over the rows of a Parquet file.
pub(crate) struct Groups {
    parquet: Arc<Parquet>,
    file: Arc<File>,
    columns: Vec<usize>,
    /// The group after the one that is open.
    next: usize,
    /// Rows of the open group that are not read yet.
    left: usize,
    decoders: Vec<Decoder>,
}

impl Groups {
    /// Opens the next group that has rows, once those of the last are read.
    fn open_group(&mut self) -> Result<()> {
        let parquet = &self.parquet;
        while self.left == 0 {
            let groups = parquet.metadata.row_groups();
            let group = (groups.get(self.next))
                .ok_or_else(|| format_error(&parquet.path, "there are no more rows"))?;
            self.next += 1;
            let rows = usize::try_from(group.num_rows()).unwrap_or(0);
            self.decoders.clear();
            for &column in &self.columns {
                let of = &parquet.columns[column];
                let chunk = group.column(of.leaf);
                let open = || {
                    let pages = pages(self.file.clone(), chunk, rows)?;
                    let descriptor = chunk.column_descr_ptr();
                    let levels = descriptor.max_def_level();
                    Ok(Decoder::new(get_column_reader(descriptor, pages), of.kind, levels))
                };
                self.decoders.push(foreign(&parquet.path, open)?);
                add_bytes(u64::try_from(chunk.compressed_size()).unwrap_or(0));
            }
            self.left = rows;
        }
        Ok(())
    }

    /// Reads the next rows as [`next`](Self::next) does, of each column as text in which the cells follow each other, with the ends of them; nothing where a
    /// value is missing. So many rows were read before.
    ///
    /// # Errors
    /// The file is damaged, or was changed; a value that cannot be read.
    pub fn texts(
        &mut self,
        count: usize,
        before: usize,
        parts: &mut [(String, Vec<usize>)],
    ) -> Result<usize> {
        let (file, columns) = (self.parquet.clone(), self.columns.clone());
        self.next(count, |column, batch| {
            let (text, ends) = &mut parts[column];
            text.clear();
            ends.clear();
            let mut wrong = None;
            batch.texts(|row, cell| {
                if cell.is_none() && batch.is_there(row) {
                    wrong = wrong.or(Some(row));
                }
                text.push_str(cell.unwrap_or_default());
                ends.push(text.len());
            });
            let unreadable = |row: usize| file.unreadable(columns[column], before + row);
            wrong.map_or(Ok(()), |row| Err(unreadable(row)))
        })
    }

    /// Reads the next rows, `count` of them or those that the group still has, and calls `each` with the number of each column among
    /// those that were chosen. Returns how many rows there were.
    ///
    /// # Errors
    /// The file is damaged, or was changed.
    pub fn next(
        &mut self,
        count: usize,
        mut each: impl FnMut(usize, &Decoder) -> Result<()>,
    ) -> Result<usize> {
        self.open_group()?;
        let count = count.min(self.left);
        let path = &self.parquet.path;
        for (index, decoder) in self.decoders.iter_mut().enumerate() {
            foreign(path, || decoder.read(count))?;
            each(index, decoder)?;
        }
        self.left -= count;
        self.parquet.identity.check(path, &self.file)?;
        add_rows(count);
        Ok(count)
    }
}

/// The pages of a column in a group.
fn pages(
    file: Arc<File>,
    chunk: &ColumnChunkMetaData,
    rows: usize,
) -> Unpacked<Box<dyn PageReader>> {
    if !matches!(chunk.compression(), Compression::ZSTD(_)) {
        return Ok(Box::new(SerializedPageReader::new(file, chunk, rows, None)?));
    }
    let packed = chunk.clone().into_builder().set_compression(Compression::UNCOMPRESSED).build()?;
    Ok(Box::new(Zstd(SerializedPageReader::new(file, &packed, rows, None)?)))
}

/// Pages that are packed by zstd.
struct Zstd(SerializedPageReader<File>);

impl Zstd {
    /// The bytes of a page, of which the first `plain` are not packed.
    fn unpack(buf: &Bytes, plain: usize) -> Unpacked<Bytes> {
        let wrong = |why: String| ParquetError::General(why);
        let (head, packed) =
            buf.split_at_checked(plain).ok_or_else(|| wrong("a page is too short".into()))?;
        let mut out = head.to_vec();
        if !packed.is_empty() {
            let decoder = ruzstd::decoding::StreamingDecoder::new(packed)
                .map_err(|e| wrong(e.to_string()))?;
            let found =
                decoder.take(PAGE + 1).read_to_end(&mut out).map_err(|e| wrong(e.to_string()))?;
            if found as u64 > PAGE {
                return Err(wrong("a page of more than 1 GiB".into()));
            }
        }
        Ok(out.into())
    }
}

impl Iterator for Zstd {
    type Item = Unpacked<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Zstd {
    fn get_next_page(&mut self) -> Unpacked<Option<Page>> {
        let mut page = self.0.get_next_page()?;
        match &mut page {
            Some(Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. }) => {
                *buf = Self::unpack(buf, 0)?;
            }
            Some(Page::DataPageV2 {
                buf,
                def_levels_byte_len,
                rep_levels_byte_len,
                is_compressed,
                ..
            }) if *is_compressed => {
                let plain =
                    (*def_levels_byte_len as usize).saturating_add(*rep_levels_byte_len as usize);
                *buf = Self::unpack(buf, plain)?;
            }
            _ => {}
        }
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Unpacked<Option<PageMetadata>> {
        self.0.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Unpacked<()> {
        self.0.skip_next_page()
    }
}
