//! The classes that inference has found.

use crate::{data, error::Failure, run::classes::Classes};

/// What images and classes are called.
#[derive(Clone, Copy)]
pub struct Names<'a> {
    /// The files of the images, if they are files.
    pub files: &'a [String],
    /// The classes.
    pub classes: &'a data::Classes,
}

/// Images and their classes in order, as CSV. The first classified image is number `first` of its file. Names of classes
/// and of files are in columns of their own, if there are any.
pub fn classes_table(
    mut classes: Classes,
    first: usize,
    names: Names<'_>,
) -> Result<String, Failure> {
    classes.sort_unstable();
    let [named, filed] = [names.classes.names().is_some(), !names.files.is_empty()];
    let chosen = |cells: [String; 4]| {
        let cells = cells.into_iter().zip([true, true, named, filed]);
        cells.filter_map(|(cell, chosen)| chosen.then_some(cell))
    };
    let mut table = csv::WriterBuilder::new().from_writer(Vec::new());
    let unwritten = |error: csv::Error| Failure::new(format!("the table of classes: {error}"), "");
    let heads = ["image", "class", "name", "file"].map(str::to_owned);
    table.write_record(chosen(heads)).map_err(unwritten)?;
    for (image, class) in classes {
        let image = image as usize;
        let line = [
            (first + image).to_string(),
            class.to_string(),
            names.classes.name(class.into()),
            names.files.get(image).cloned().unwrap_or_default(),
        ];
        table.write_record(chosen(line)).map_err(unwritten)?;
    }
    let bytes = table.into_inner().unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_columns_of_their_own() {
        let plain = Names {
            files: &[],
            classes: &data::Classes::Numbered,
        };
        let found = vec![(1, 0), (0, 1)];
        let table = classes_table(found.clone(), 5, plain).expect("a table");
        assert_eq!(table, "image,class\n5,1\n6,0\n");
        let names = Names {
            files: &["a.png".to_owned(), "b,c.png".to_owned()],
            classes: &data::Classes::Named(vec!["cat".to_owned(), "dog".to_owned()]),
        };
        let table = classes_table(found, 0, names).expect("a table");
        assert_eq!(
            table,
            "image,class,name,file\n0,1,dog,a.png\n1,0,cat,\"b,c.png\"\n"
        );
    }
}
