//! A Dockerfile and a .dockerignore, as far as ours use them.

/// What begins with a `FROM`.
#[derive(Debug, Clone)]
pub(super) struct Stage {
    pub(super) name: String,
    pub(super) base: String,
    /// Instruction and what follows it, on one line.
    instructions: Vec<(String, String)>,
}

/// One source of a `COPY`.
#[derive(Debug, Clone)]
pub(super) struct Copy {
    from_stage: bool,
    source: String,
    pub(super) to: String,
}

impl Stage {
    /// What follows every instruction of this name.
    pub(super) fn all(&self, instruction: &str) -> Vec<String> {
        let of = |(name, rest): &(String, String)| (name == instruction).then(|| rest.clone());
        self.instructions.iter().filter_map(of).collect()
    }

    pub(super) fn copies(&self) -> Vec<Copy> {
        let copies = self.all("COPY").into_iter().flat_map(|line| {
            let from_stage = line.contains("--from=");
            let words: Vec<&str> = line.split_whitespace().filter(|word| !word.starts_with("--")).collect();
            let (to, sources) = words.split_last().expect("a COPY has a destination");
            let copy =
                |source: &&str| Copy { from_stage, source: (*source).to_owned(), to: (*to).to_owned() };
            sources.iter().map(copy).collect::<Vec<_>>()
        });
        copies.collect()
    }

    /// What it copies that is not of another stage.
    pub(super) fn sources_of_the_context(&self) -> Vec<String> {
        let sources = self.copies().into_iter().filter(|copy| !copy.from_stage);
        sources.map(|copy| copy.source).collect()
    }
}

pub(super) fn stages(text: &str) -> Vec<Stage> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let joined = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let mut stages: Vec<Stage> = Vec::new();
    for line in joined.lines().filter(|line| !line.trim().is_empty()) {
        let (name, rest) = line.split_once(' ').expect("an instruction says something");
        if name == "FROM" {
            let mut words = rest.split_whitespace().filter(|word| !word.starts_with("--"));
            let base = words.next().expect("a base").to_owned();
            let name = words.nth(1).expect("every stage has a name").to_owned();
            stages.push(Stage { name, base, instructions: Vec::new() });
        } else {
            let stage = stages.last_mut().expect("a Dockerfile begins with a stage");
            stage.instructions.push((name.to_owned(), rest.trim().to_owned()));
        }
    }
    stages
}

/// Whether a .dockerignore keeps a file out: the last line that fits it decides.
pub(super) fn ignored(patterns: &str, file: &str) -> bool {
    let parts: Vec<&str> = file.split('/').collect();
    let mut out = false;
    for line in patterns.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (pattern, keeps) = line.strip_prefix('!').map_or((line, false), |pattern| (pattern, true));
        let fits = match pattern.strip_prefix("**/") {
            Some(name) => match name.strip_prefix('*') {
                Some(end) => file.ends_with(end),
                None => parts.contains(&name),
            },
            None => pattern == "*" || file == pattern || file.starts_with(&format!("{pattern}/")),
        };
        if fits {
            out = !keeps;
        }
    }
    out
}
