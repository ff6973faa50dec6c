//! A file of codes that are known by their numbers, with rows that come again and rows that are bad.

/// A CSV file, and what an import of it must tell.
pub(crate) struct File {
    pub(crate) text: String,
    pub(crate) rows: usize,
    /// How many codes are in it; their numbers go from 0.
    pub(crate) codes: usize,
    /// How many rows have a code of an earlier one.
    pub(crate) repeated: usize,
    /// The rows that are rejected, the header counted.
    pub(crate) bad: Vec<usize>,
    /// Behind each row.
    more: String,
}

impl File {
    /// With as many codes as rows.
    pub(crate) fn clean(rows: usize) -> File {
        let mut file = File::empty();
        (0..rows).for_each(|_| file.add());
        file
    }

    /// With all that may be in a file.
    pub(crate) fn of(rows: usize) -> File {
        File::with_columns(rows, "")
    }

    /// The same, with this in further columns.
    pub(crate) fn with_columns(rows: usize, more: &str) -> File {
        let mut file = File::empty();
        file.more = if more.is_empty() { String::new() } else { format!(",{more}") };
        for row in 0..rows {
            if row % 1_000 == 999 {
                file.bad(row);
            } else if row % 97 == 96 {
                // From far away, or from the batch before.
                file.repeat(if row % 2 == 0 { file.codes / 2 } else { file.codes - 1 });
            } else {
                file.add();
            }
        }
        file
    }

    fn empty() -> File {
        File {
            text: "code\n".to_owned(),
            rows: 0,
            codes: 0,
            repeated: 0,
            bad: Vec::new(),
            more: String::new(),
        }
    }

    fn add(&mut self) {
        self.write(&code(self.codes));
        self.codes += 1;
    }

    fn repeat(&mut self, number: usize) {
        self.write(&code(number));
        self.repeated += 1;
    }

    fn bad(&mut self, row: usize) {
        self.write("bad\u{7f}");
        // Counted from 1, as the header is.
        self.bad.push(row + 2);
    }

    fn write(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push_str(&self.more);
        self.text.push('\n');
        self.rows += 1;
    }
}

/// An odd number: to multiply by it, or by the one that undoes that, modulo 2^32 loses nothing.
const SPREAD: u32 = 2_654_435_761;
const GATHER: u32 = 244_002_641;

/// The code of a number; those of neighbours are far from each other.
pub(crate) fn code(number: usize) -> String {
    let number = u32::try_from(number).expect("not that many");
    format!("{:08X}Z", number.wrapping_mul(SPREAD))
}

/// The number of a code that a file may hold.
pub(crate) fn number(code: &str) -> Option<usize> {
    let spread = code.strip_suffix('Z').filter(|digits| digits.len() == 8)?;
    let spread = u32::from_str_radix(spread, 16).ok()?;
    Some(spread.wrapping_mul(GATHER) as usize)
}

#[test]
fn a_file_says_what_is_in_it() {
    let file = File::of(2_000);
    let mut found: Vec<usize> = file.text.lines().filter_map(number).collect();
    assert_eq!(found.len() + file.bad.len(), file.rows);
    assert_eq!(found[..3], [0, 1, 2]);
    found.sort_unstable();
    found.dedup();
    assert_eq!(found, (0..file.codes).collect::<Vec<_>>());
    assert_eq!((file.bad.as_slice(), file.repeated), ([1_001, 2_001].as_slice(), 20));
    assert_eq!(file.codes + file.repeated + file.bad.len(), file.rows);
}
