//! Fluentd's configuration language, as far as ours uses it.

/// A section with its parameters; the whole file is one, too.
#[derive(Debug, Clone, Default)]
pub(super) struct Section {
    name: String,
    /// What follows its name: the tag of a `match`.
    pub(super) argument: String,
    pub(super) parameters: Vec<(String, String)>,
    sections: Vec<Section>,
}

impl Section {
    /// All sections of this name in it.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &Section> {
        self.sections.iter().filter(move |section| section.name == name)
    }

    /// The only one.
    pub(super) fn child(&self, name: &str) -> &Section {
        let mut found = self.all(name);
        let child = found.next().unwrap_or_else(|| panic!("no <{name}> in <{}>", self.name));
        assert!(found.next().is_none(), "several <{name}> in <{}>", self.name);
        child
    }

    pub(super) fn value(&self, name: &str) -> &str {
        let found = self.parameters.iter().find(|(key, _)| key == name);
        found.map_or_else(|| panic!("no {name} in <{}>", self.name), |(_, value)| value)
    }
}

/// Reads a file.
pub(super) fn read(text: &str) -> Section {
    let mut open = vec![Section::default()];
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix("</") {
            let section = open.pop().expect("the file itself stays open");
            assert_eq!(name.trim_end_matches('>'), section.name);
            open.last_mut().expect("it closes what was opened in another").sections.push(section);
        } else if let Some(head) = line.strip_prefix('<') {
            let (name, argument) = head.trim_end_matches('>').split_once(' ').unwrap_or((head, ""));
            let (name, argument) = (name.trim_end_matches('>').to_owned(), argument.to_owned());
            open.push(Section { name, argument, ..Section::default() });
        } else {
            let (name, value) = line.split_once(' ').unwrap_or((line, ""));
            let section = open.last_mut().expect("the file itself stays open");
            section.parameters.push((name.to_owned(), value.trim().to_owned()));
        }
    }
    assert_eq!(open.len(), 1, "every section is closed");
    open.pop().expect("just counted")
}

/// What `"#{ENV['NAME'] || 'otherwise'}"` is, or a plain value.
pub(super) fn evaluated(value: &str, variables: &[(&str, &str)]) -> String {
    let Some(inside) = value.strip_prefix("\"#{ENV['").and_then(|rest| rest.strip_suffix("'}\"")) else {
        return value.to_owned();
    };
    let (name, otherwise) = inside.split_once("'] || '").expect("a variable and what is without it");
    let found = variables.iter().find(|(key, _)| *key == name);
    found.map_or(otherwise, |(_, value)| value).to_owned()
}
