//! Messages as numbers: integers up to 2^53 and the bytes of texts are numbers, too.

use std::borrow::Cow;

use crate::curvature::{Curvature, Structure};
use crate::error::{Error, Result};
use crate::evaluate::{Node, Request, Tensor, Work};

/// The sums of some ranks without their shape, or the failure of the first of them that failed.
pub(super) type Nodes = std::result::Result<Vec<Node<Vec<f64>>>, Failed>;

/// The failure of a rank, in words.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Failed {
    pub rank: usize,
    pub why: String,
}

impl Failed {
    /// The failure as an error.
    pub fn error(self) -> Error {
        Error::Rank { rank: self.rank, why: self.why }
    }

    /// Returns a failure, or none, as numbers.
    pub fn to_numbers(failed: Option<&Failed>) -> Vec<f64> {
        failed.map_or(Vec::new(), |failed| {
            std::iter::once(failed.rank as f64).chain(to_text(&failed.why)).collect()
        })
    }

    /// Returns the failure that some numbers are, if they are one.
    pub fn from_numbers(numbers: &[f64]) -> Option<Self> {
        let (rank, why) = numbers.split_first()?;
        Some(Failed { rank: *rank as usize, why: from_text(why) })
    }
}

/// The bytes of a text.
pub(super) fn to_text(text: &str) -> impl Iterator<Item = f64> + '_ {
    text.bytes().map(f64::from)
}

/// Returns the text of some bytes.
pub(super) fn from_text(numbers: &[f64]) -> String {
    let bytes: Vec<u8> = numbers.iter().map(|v| *v as u8).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns sums as a message: 0, and for each node its lane, its lanes, how many numbers it has, and these. A failure begins with 1.
pub(super) fn encode(own: Nodes) -> Vec<f64> {
    match own {
        Err(failed) => {
            let numbers = Failed::to_numbers(Some(&failed));
            std::iter::once(1.0).chain(numbers).collect()
        }
        Ok(nodes) => {
            let mut out =
                Vec::with_capacity(nodes.iter().fold(1, |n, node| n + 3 + node.sum.len()));
            out.push(0.0);
            for Node { lane, lanes, sum } in nodes {
                out.extend([lane, lanes, sum.len()].map(|v| v as f64));
                out.extend(sum);
            }
            out
        }
    }
}

/// Returns the sums of a message.
pub(super) fn decode(message: &[f64]) -> Nodes {
    let Some((0.0, mut rest)) = message.split_first() else {
        let failed = message.get(1..).and_then(Failed::from_numbers);
        return Err(failed.unwrap_or(Failed { rank: 0, why: "it sent an empty message".into() }));
    };
    let mut nodes = Vec::new();
    while let Some((&[lane, lanes, length], after)) = rest.split_first_chunk() {
        let (sum, after) = after.split_at(after.len().min(length as usize));
        nodes.push(Node { lane: lane as usize, lanes: lanes as usize, sum: sum.to_vec() });
        rest = after;
    }
    Ok(nodes)
}

/// A request of rank 0 to the others.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Asked<'a> {
    /// The request, in the network's parameters.
    pub work: Work,
    /// Bytes of the floats that it is computed in.
    pub float: usize,
    /// Samples in one chunk.
    pub chunk: usize,
    /// The vectors of products, or the sizes of the parameters of a triangle.
    pub vectors: Cow<'a, [f64]>,
}

/// Numbers before W and the vectors.
const HEAD: usize = 8;

impl Asked<'_> {
    /// Returns the message that nothing more is asked.
    pub fn end() -> Vec<f64> {
        Vec::new()
    }

    /// Returns the message, with W where the others do not know it.
    pub fn to_numbers(&self, w: Option<&[f64]>) -> Vec<f64> {
        let [kind, a, b, c] = match self.work {
            Work::Evaluate(request) => {
                let (curvature, structure) = match request.curvature {
                    None => (0, 0),
                    Some((c, s)) => (1 + place(&Curvature::ALL, c), place(&Structure::ALL, s)),
                };
                let asked = usize::from(request.gradient) + 2 * usize::from(request.pooled);
                [0, asked, curvature, structure]
            }
            Work::Products(curvature, count) => [1, place(&Curvature::ALL, curvature), count, 0],
            Work::Tensor(of) => [2, of.layer, of.row, of.order],
            Work::Factor => [3, 0, 0, 0],
        };
        let known = w.map_or(0, |w| w.len());
        let head: [usize; HEAD] =
            [self.float, self.chunk, kind, a, b, c, usize::from(w.is_some()), known];
        let mut out = Vec::with_capacity(HEAD + known + self.vectors.len());
        out.extend(head.map(|v| v as f64));
        out.extend(w.unwrap_or_default());
        out.extend(&*self.vectors);
        out
    }

    /// Returns what a message asks, with W where it has that; nothing where nothing more is asked.
    ///
    /// # Errors
    /// `Invalid` for one that is none.
    pub fn from_numbers(message: &[f64]) -> Result<Option<(Asked<'static>, Option<Vec<f64>>)>> {
        if message.is_empty() {
            return Ok(None);
        }
        let wrong = || Error::invalid("a message of rank 0", "it asks for nothing that is known");
        let (head, rest) = message.split_first_chunk::<HEAD>().ok_or_else(wrong)?;
        let [float, chunk, kind, a, b, c, has_w, known] = head.map(|v| v as usize);
        let (w, vectors) = rest.split_at_checked(known).ok_or_else(wrong)?;
        let curvature = |at: usize| Curvature::ALL.get(at).copied().ok_or_else(wrong);
        let work = match kind {
            0 => {
                let structure = Structure::ALL.get(c).copied().ok_or_else(wrong)?;
                let curvature = match b {
                    0 => None,
                    at => Some((curvature(at - 1)?, structure)),
                };
                let (gradient, pooled) = (a & 1 > 0, a & 2 > 0);
                Work::Evaluate(Request { gradient, curvature, pooled, ..Request::default() })
            }
            1 => Work::Products(curvature(a)?, b),
            2 => Work::Tensor(Tensor { layer: a, row: b, order: c }),
            3 => Work::Factor,
            _ => return Err(wrong()),
        };
        let asked = Asked { work, float, chunk, vectors: Cow::Owned(vectors.to_vec()) };
        Ok(Some((asked, (has_w > 0).then(|| w.to_vec()))))
    }
}

/// The place of one of all.
fn place<T: PartialEq>(all: &[T], one: T) -> usize {
    all.iter().position(|other| *other == one).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_as_they_were() {
        let all = Curvature::ALL.into_iter().flat_map(|c| Structure::ALL.map(|s| Some((c, s))));
        let evaluations = all.chain([None]).flat_map(|curvature| {
            [(false, false), (true, false), (false, true), (true, true)].map(
                |(gradient, pooled)| Request { gradient, curvature, pooled, ..Request::default() },
            )
        });
        let works = (evaluations.map(Work::Evaluate))
            .chain(Curvature::ALL.map(|c| Work::Products(c, 2)))
            .chain([Work::Tensor(Tensor { layer: 2, row: 0, order: 3 }), Work::Factor]);
        let w = [0.5, -0.0, f64::NAN];
        for work in works {
            for w in [None, Some(&w[..])] {
                let vectors = Cow::Borrowed(&[1.0, f64::INFINITY][..]);
                let asked = Asked { work, float: 8, chunk: 512, vectors };
                let (back, known) = Asked::from_numbers(&asked.to_numbers(w)).unwrap().unwrap();
                assert_eq!(back, asked);
                let bits = |w: &[f64]| w.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                assert_eq!(known.map(|w| bits(&w)), w.map(bits));
            }
        }
        assert_eq!(Asked::from_numbers(&Asked::end()), Ok(None));
        assert!(Asked::from_numbers(&[1.0]).is_err());
        let node = |lane, sum: &[f64]| Node { lane, lanes: 2, sum: sum.to_vec() };
        for own in [
            Ok(Vec::new()),
            Ok(vec![node(0, &[]), node(2, &[1.0, 2.0]), node(4, &[3.0])]),
            Err(Failed { rank: 3, why: "no file 'ä'".into() }),
        ] {
            assert_eq!(decode(&encode(own.clone())), own);
        }
        assert!(decode(&[]).is_err());
    }
}
