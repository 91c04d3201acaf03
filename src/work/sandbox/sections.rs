//! The sections of a module, as far as they can be counted without reading them: what is over a bound is
//! refused before an engine spends memory on it.

/// What a module has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sections {
    pub functions: u32,
    pub tables: u32,
    pub globals: u32,
    pub elements: u32,
    pub data: u32,
    pub has_start: bool,
}

/// Reads the headers of all sections.
///
/// # Errors
/// What is wrong, and what to do.
pub(super) fn read(bytes: &[u8]) -> Result<Sections, String> {
    let Some((header, mut rest)) = bytes.split_first_chunk::<8>() else {
        return Err("is not a WebAssembly module: it is too short".to_owned());
    };
    match header {
        b"\0asm\x01\0\0\0" => {}
        [b'\0', b'a', b's', b'm', _, _, 1, 0] => {
            return Err(
                "is a WebAssembly component, not a core module: build for wasm32-unknown-unknown, without \
                        componentising it"
                    .to_owned(),
            );
        }
        [b'\0', b'a', b's', b'm', ..] => return Err("is WebAssembly of another version than 1".to_owned()),
        _ if bytes.trim_ascii_start().starts_with(b"(") => {
            return Err("is WebAssembly as text: compile it, for example with wat2wasm".to_owned());
        }
        _ => return Err("is not a WebAssembly module: it does not begin with \"\\0asm\"".to_owned()),
    }
    let cut = || "ends in the middle of a section: it was not copied as a whole".to_owned();
    let mut sections = Sections::default();
    while let Some((id, after)) = rest.split_first() {
        let (len, after) = number(after).ok_or_else(cut)?;
        let (section, after) = after.split_at_checked(len as usize).ok_or_else(cut)?;
        rest = after;
        let count = number(section).map_or(0, |(count, _)| count);
        match id {
            3 => sections.functions = count,
            4 => sections.tables = count,
            6 => sections.globals = count,
            8 => sections.has_start = true,
            9 => sections.elements = count,
            11 => sections.data = count,
            _ => {}
        }
    }
    Ok(sections)
}

/// An unsigned number in LEB128, and what comes after it.
fn number(mut bytes: &[u8]) -> Option<(u32, &[u8])> {
    let mut value = 0_u64;
    for shift in (0..35).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        bytes = rest;
        value |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some((u32::try_from(value).ok()?, bytes));
        }
    }
    None
}
