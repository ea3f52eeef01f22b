//! Images in arrays, with their labels in arrays beside them.

use super::{
    Entry, EntryName, FilePart, Source,
    array::Array,
    element::{RANGE_REMEDY, Range, Scale, shape_of_row},
};
use crate::{
    data::{classes::Classes, conversion::Raw},
    error::Failure,
    resources::filled,
};

/// The arrays of one part.
struct Part {
    name: FilePart,
    images: Array,
    /// None if there are no labels.
    labels: Option<Vec<u8>>,
    layout: Layout,
}

/// How the numbers of an image lie.
#[derive(Clone, Copy)]
struct Layout {
    /// Rows, columns and channels.
    shape: [usize; 3],
    /// One channel after the other, as PyTorch has them.
    channels_first: bool,
}

/// Images in arrays.
pub struct Arrays {
    format: &'static str,
    parts: Vec<Part>,
    classes: Classes,
    /// How the numbers become bytes; none if they are bytes.
    scale: Option<Scale>,
    range: Range,
}

impl Arrays {
    /// The images of these parts, each with its labels if it has any. All parts have labels or none has.
    pub fn new(
        format: &'static str,
        parts: Vec<(FilePart, Array, Option<Array>)>,
    ) -> Result<Self, Failure> {
        let mut range = Range::default();
        let mut scaled = false;
        let mut read = Vec::new();
        for (name, images, labels) in parts {
            let layout = layout(&images)?;
            if let Some(labels) = &labels
                && labels.count() != images.count()
            {
                return Err(Failure::new(
                    format!(
                        "{} holds {} images but {} holds {} labels",
                        images.place,
                        images.count(),
                        labels.place,
                        labels.count()
                    ),
                    "use files that belong together",
                ));
            }
            let labels = labels.map(|labels| labels.labels()).transpose()?;
            read.push(Part {
                name,
                images,
                labels,
                layout,
            });
        }
        let bytes = read.iter().all(|part| part.images.element.is_byte());
        if !bytes {
            for part in &read {
                range.merge(part.images.range()?);
                scaled |= part.images.element.is_float();
            }
        }
        let scale = (!bytes).then(|| range.scale(scaled)).transpose();
        let scale = scale.map_err(|why| {
            let place = &read[0].images.place;
            Failure::new(format!("{place} cannot be pixels: {why}"), RANGE_REMEDY)
        })?;
        let labelled = read.iter().any(|part| part.labels.is_some());
        Ok(Arrays {
            format,
            parts: read,
            classes: match labelled {
                true => Classes::Numbered,
                false => Classes::Unknown,
            },
            scale,
            range,
        })
    }
}

/// How the images of an array lie in it.
fn layout(images: &Array) -> Result<Layout, Failure> {
    let channels = 1..=4;
    let by_rows = |shape| Layout {
        shape,
        channels_first: false,
    };
    let found = match images.dims[..] {
        [_, len] => Some(by_rows(shape_of_row(len))),
        [_, rows, columns] => Some(by_rows([rows, columns, 1])),
        [_, rows, columns, last] if channels.contains(&last) => {
            Some(by_rows([rows, columns, last]))
        }
        [_, first, rows, columns] if channels.contains(&first) => Some(Layout {
            shape: [rows, columns, first],
            channels_first: true,
        }),
        _ => None,
    };
    let place = &images.place;
    let layout = found.ok_or_else(|| {
        Failure::new(
            format!("{place} holds an array of shape {:?}", images.dims),
            "give [count, values], [count, rows, columns], or [count, rows, columns, channels] with up to 4 channels",
        )
    })?;
    if images.dims.contains(&0) {
        return Err(Failure::new(
            format!("{place} holds no images"),
            "give other --data, with images in it",
        ));
    }
    Ok(layout)
}

impl Source for Arrays {
    fn kind(&self) -> String {
        let elements = self.parts[0].images.element;
        let first = match self.parts[0].layout.channels_first {
            true => ", channels first",
            false => "",
        };
        match self.scale {
            None => format!("{} of bytes{first}", self.format),
            Some(scale) => {
                let range = self.range;
                format!("{} of {elements} from {range}, {scale}{first}", self.format)
            }
        }
    }

    fn classes(&self) -> &Classes {
        &self.classes
    }

    fn parts(&self) -> Vec<(FilePart, usize)> {
        let counted = |part: &Part| (part.name, part.images.count());
        self.parts.iter().map(counted).collect()
    }

    fn read(
        &self,
        part: FilePart,
        wanted: &dyn Fn(usize) -> bool,
        take: &mut dyn FnMut(Entry<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let Some(part) = self.parts.iter().find(|own| own.name == part) else {
            return Ok(());
        };
        let len = part.images.sample_len();
        let (mut bytes, mut turned) = (filled(0, len, "an image")?, filled(0, len, "an image")?);
        let [rows, columns, channels] = part.layout.shape;
        part.images.samples(|number, sample| {
            if !wanted(number) {
                return Ok(());
            }
            let element = part.images.element;
            match self.scale {
                None => bytes.copy_from_slice(sample),
                Some(scale) => {
                    for (byte, value) in bytes.iter_mut().zip(sample.chunks_exact(element.size)) {
                        *byte = scale.byte(element.value(value));
                    }
                }
            }
            if part.layout.channels_first {
                let pixels = rows * columns;
                for (index, byte) in turned.iter_mut().enumerate() {
                    *byte = bytes[index % channels * pixels + index / channels];
                }
            }
            take(Entry {
                number,
                name: EntryName::Place(number),
                label: part.labels.as_ref().map(|labels| labels[number].into()),
                image: Ok(Raw {
                    shape: part.layout.shape,
                    pixels: match part.layout.channels_first {
                        true => &turned,
                        false => &bytes,
                    },
                }),
            })
        })
    }
}
