//! The page as HTML.

pub use built::{check, html};

#[cfg(feature = "report")]
mod built {
    use std::error::Error;

    use minijinja::{Environment, UndefinedBehavior, context};

    use crate::{
        error::Failure,
        output::report::{
            figures::svg,
            page::{Block, Page},
            pictures::data_uri,
        },
    };

    /// The page's HTML, without what it holds. Names that end in `.html` have all text escaped.
    const TEMPLATE: (&str, &str) = ("page.html", include_str!("page.html"));

    /// Whether this program can write reports.
    pub fn check() -> Result<(), Failure> {
        Ok(())
    }

    /// The page as HTML.
    pub fn html(page: &Page) -> Result<String, Failure> {
        rendered(page).map_err(|error| {
            Failure::new(
                format!("the report cannot be made: {error}"),
                "leave out --report, and report this with the command",
            )
        })
    }

    fn rendered(page: &Page) -> Result<String, Box<dyn Error>> {
        // For each block of each section, what is drawn in it.
        let drawn = |block: &Block| -> Result<Vec<String>, Box<dyn Error>> {
            Ok(match block {
                Block::Figure(figure) => vec![svg(&figure.drawing)?],
                Block::Pictures { pictures } => {
                    let drawn = pictures.iter().map(data_uri);
                    drawn.collect::<Result<_, _>>()?
                }
                _ => Vec::new(),
            })
        };
        let sections = page.sections.iter();
        let drawings = sections.map(|section| section.blocks.iter().map(drawn).collect());
        let drawings: Vec<Vec<Vec<String>>> = drawings.collect::<Result<_, _>>()?;
        let (name, source) = TEMPLATE;
        let mut templates = Environment::new();
        // A name that the template and the page write differently is a fault.
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        templates.add_template(name, source)?;
        Ok(templates
            .get_template(name)?
            .render(context! { page, drawings })?)
    }
}

#[cfg(not(feature = "report"))]
mod built {
    use crate::{error::Failure, output::report::page::Page};

    /// Fails, because the program can write no reports.
    pub fn check() -> Result<(), Failure> {
        Err(Failure::new(
            "this program was built without reports",
            "build it with them: `cargo run --release --features report -- ...`, or leave out --report",
        ))
    }

    /// Fails, because the program can write no reports.
    pub fn html(_: &Page) -> Result<String, Failure> {
        check().map(|()| String::new())
    }

    #[test]
    fn a_plain_build_refuses_reports_and_says_how_to_get_them() {
        let line = check().map_err(|failure| failure.to_string());
        assert!(line.is_err_and(|line| line.contains("--features report")));
    }
}
