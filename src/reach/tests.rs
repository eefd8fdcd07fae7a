use std::path::Path;

use super::samples::{Assembly, CODE, DATA, Sample, SampleImage};
use super::*;
use crate::mutation;

fn of(image: &SampleImage) -> Reach {
    analyse(image, Path::new("/app"), &[]).expect("it can be analysed")
}

fn alone(sample: &Sample) -> Reach {
    of(&SampleImage::default().with("/app", sample.bytes()))
}

/// The names, without the one that the kernel restarts.
fn calls(reach: &Reach) -> Vec<&str> {
    reach.names().into_iter().filter(|name| *name != "restart_syscall").collect()
}

fn kinds(reach: &Reach) -> Vec<&'static str> {
    reach.gaps.iter().map(|gap| gap.kind.name()).collect()
}

fn error(image: &SampleImage) -> String {
    analyse(image, Path::new("/app"), &[]).expect_err("it is refused").to_string()
}

#[test]
fn a_number_is_the_constant_before_the_instruction() {
    let reach = alone(&Sample::of(Assembly::new().eax(39).syscall().eax(60).syscall().ret()));
    assert_eq!(calls(&reach), ["exit", "getpid"]);
    assert!(reach.is_bounded() && reach.gaps.is_empty(), "{:?}", reach.gaps);
    assert_eq!(reach.calls["getpid"].path, ["app:0x400"]);
}

#[test]
fn a_function_that_nothing_calls_is_not_reachable() {
    let code = Assembly::new().eax(60).syscall().raw(&[0xf4]).until(CODE + 0x40).eax(105).syscall().ret();
    let mut sample = Sample::of(code);
    sample.exports = vec![("never", CODE + 0x40)];
    assert_eq!(calls(&alone(&sample)), ["exit"]);
    sample.pointers = vec![CODE + 0x40];
    assert_eq!(calls(&alone(&sample)), ["exit", "setuid"], "its address is in data");
}

#[test]
fn two_ways_give_two_numbers() {
    // cmp $1, %edi; mov $39, %eax; je over; mov $102, %eax; over: syscall
    let code = Assembly::new().raw(&[0x83, 0xff, 1]).eax(39).raw(&[0x74, 5]).eax(102).syscall().ret();
    assert_eq!(calls(&alone(&Sample::of(code))), ["getpid", "getuid"]);
    // mov $39, %eax; mov $102, %ecx; cmove %ecx, %eax; syscall
    let code = Assembly::new().eax(39).raw(&[0xb9, 102, 0, 0, 0, 0x0f, 0x44, 0xc1]).syscall().ret();
    assert_eq!(calls(&alone(&Sample::of(code))), ["getpid", "getuid"]);
}

/// mov %rdi, %rax; syscall; ret
const WRAPPER: [u8; 6] = [0x48, 0x89, 0xf8, 0x0f, 0x05, 0xc3];

#[test]
fn a_wrapper_has_the_numbers_that_its_callers_pass() {
    let at = CODE + 0x40;
    let code = Assembly::new().edi(39).call(at).edi(102).call(at).ret().until(at).raw(&WRAPPER);
    let mut sample = Sample::of(code);
    let reach = alone(&sample);
    assert_eq!(calls(&reach), ["getpid", "getuid"]);
    assert_eq!(reach.calls["getuid"].path, ["app:0x400", "app:0x440"]);
    // The address of the wrapper in data: another call may reach it with anything.
    let code = Assembly::new().edi(39).call(at).raw(&[0xff, 0xd0]).ret().until(at).raw(&WRAPPER);
    sample = Sample { pointers: vec![at], ..Sample::of(code) };
    let reach = alone(&sample);
    assert!(!reach.is_bounded());
    assert_eq!(kinds(&reach), ["number", "assumption"]);
}

#[test]
fn a_number_on_the_stack_is_followed() {
    let at = CODE + 0x40;
    // push $39; call; pop %rcx; ret / mov 8(%rsp), %rax; syscall; ret
    let code = Assembly::new().raw(&[0x6a, 39]).call(at).raw(&[0x59]).ret().until(at);
    let code = code.raw(&[0x48, 0x8b, 0x44, 0x24, 8]).syscall().ret();
    assert_eq!(calls(&alone(&Sample::of(code))), ["getpid"]);
    // movl $39, -8(%rsp); lea -8(%rsp), %rdi; call; mov -8(%rsp), %eax: the callee may have written it.
    let code =
        Assembly::new().raw(&[0xc7, 0x44, 0x24, 0xf8, 39, 0, 0, 0]).raw(&[0x48, 0x8d, 0x7c, 0x24, 0xf8]);
    let code = code.call(at).raw(&[0x8b, 0x44, 0x24, 0xf8]).syscall().ret().until(at).ret();
    assert!(!alone(&Sample::of(code)).is_bounded());
}

#[test]
fn a_number_that_is_not_constant_has_no_bound() {
    // mov (%rdi), %eax; syscall
    let reach = alone(&Sample::of(Assembly::new().raw(&[0x8b, 0x07]).syscall().ret()));
    assert!(!reach.is_bounded());
    let gap = reach.gaps.first().expect("a gap");
    assert_eq!((gap.kind, &*gap.place), (GapKind::Number, "app+0x402"));
    // int $0x80
    assert_eq!(kinds(&alone(&Sample::of(Assembly::new().eax(20).raw(&[0xcd, 0x80]).ret()))), ["old-calls"]);
}

const LOADER: &str = "/lib64/ld.so";

fn image(program: Sample, libraries: &[(&str, Sample)]) -> SampleImage {
    let loader =
        Sample { soname: Some("ld-linux.so.2"), ..Sample::of(Assembly::new().eax(9).syscall().ret()) };
    let program = Sample { interpreter: Some(LOADER), ..program };
    let image = SampleImage::default().with("/app", program.bytes()).with(LOADER, loader.bytes());
    libraries.iter().fold(image, |image, (path, sample)| image.with(path, sample.bytes()))
}

/// A library with a function of this name that makes a call.
fn library(name: &'static str, number: u32) -> Sample {
    let code = Assembly::new().eax(number).syscall().ret();
    Sample { exports: vec![(name, CODE)], entry: 0, ..Sample::of(code) }
}

#[test]
fn symbols_are_looked_up_in_the_order_of_loading() {
    let program = Sample {
        needed: vec!["liba.so", "libb.so"],
        imports: vec!["f"],
        ..Sample::of(Assembly::new().call_slot(0).ret())
    };
    let libraries = [("/lib/liba.so", library("f", 39)), ("/lib/libb.so", library("f", 102))];
    let reach = of(&image(program.clone(), &libraries));
    assert_eq!(calls(&reach), ["getpid", "mmap"], "the first that has it, and the loader");
    assert_eq!(reach.objects["/lib/libb.so"].reachable, 0);
    assert_eq!(
        error(&image(program, &libraries[..1])),
        "/app: links libb.so, which is in none of the loader's directories"
    );
}

#[test]
fn libraries_that_need_each_other_are_loaded_once() {
    let other = |name, needed, number| Sample { needed: vec![needed], ..library(name, number) };
    let program =
        Sample { needed: vec!["liba.so"], imports: vec!["g"], ..Sample::of(Assembly::new().jump_slot(0)) };
    let libraries =
        [("/lib/liba.so", other("f", "libb.so", 39)), ("/lib/libb.so", other("g", "liba.so", 102))];
    assert_eq!(calls(&of(&image(program, &libraries))), ["getuid", "mmap"]);
}

#[test]
fn a_library_that_is_named_is_opened_where_dlopen_is_called() {
    let mut program =
        Sample { imports: vec!["dlopen", "puts"], texts: vec!["libplug.so"], ..Sample::default() };
    let call = |slot| Assembly::new().rdi_address(program.text(0)).call_slot(slot).ret().0;
    let (opens, prints) = (call(0), call(1));
    program.entry = CODE;
    program.needed = vec!["libc.so.6"];
    let libc = Sample {
        exports: vec![("dlopen", CODE), ("puts", CODE)],
        soname: Some("libc.so.6"),
        entry: 0,
        ..Sample::of(Assembly::new().ret())
    };
    let libraries = [("/lib/libplug.so", library("plug", 103)), ("/lib/libc.so.6", libc)];
    program.code = opens;
    let reach = of(&image(program.clone(), &libraries));
    assert_eq!(calls(&reach), ["mmap", "syslog"]);
    assert_eq!(reach.objects["/lib/libplug.so"].origin, "opened: app names it");
    assert!(reach.gaps.is_empty(), "{:?}", reach.gaps);
    program.code = prints;
    assert_eq!(calls(&of(&image(program.clone(), &libraries))), ["mmap"]);
    // mov %rsi, %rdi: a name that is not constant.
    program.code = Assembly::new().raw(&[0x48, 0x89, 0xf7]).call_slot(0).ret().0;
    assert_eq!(kinds(&of(&image(program.clone(), &libraries))), ["library"]);
    // A library of the profile is looked into as one that is opened.
    program.code = Assembly::new().ret().0;
    let image = image(program, &libraries);
    let reach = analyse(&image, Path::new("/app"), &["/lib/libplug.so".into()]).expect("an answer");
    assert_eq!(calls(&reach), ["mmap", "syslog"]);
}

#[test]
fn an_interpreter_has_no_bound() {
    let python = Sample { soname: Some("libpython3.11.so.1.0"), ..library("Py_BytesMain", 39) };
    let program = Sample { needed: vec!["libpython3.11.so.1.0"], ..Sample::of(Assembly::new().ret()) };
    let reach = of(&image(program, &[("/lib/libpython3.11.so.1.0", python)]));
    assert_eq!(kinds(&reach), ["interpreter"]);
    assert!(!reach.is_bounded());
}

#[test]
fn what_cannot_be_analysed_is_one_line() {
    let file = |bytes: Vec<u8>| error(&SampleImage::default().with("/app", bytes));
    let good = Sample::of(Assembly::new().ret()).bytes();
    let with = |at: usize, bytes: &[u8]| {
        let mut file = good.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    };
    assert_eq!(error(&SampleImage::default()), "/app: not found; name a program by its path in the image");
    assert_eq!(file(b"#!/bin/sh\n".to_vec()), "/app: is no ELF file; name a program or a shared object");
    assert!(file(with(4, &[1])).contains("32 bits"));
    assert!(file(with(18, &[8, 0])).contains("another machine (e_machine 8)"));
    assert!(file(with(16, &[1, 0])).contains("e_type 1"));
    assert!(file(good[..200].to_vec()).contains("is cut or malformed"));
    assert!(file(good[..40].to_vec()).contains("is cut or malformed: its header"));
    // p_filesz of the first segment, beyond the file; then one over the other.
    assert!(file(with(64 + 32, &[0xff; 8])).contains("its segment lies outside"));
    assert!(file(with(64 + 32, &[0x10, 0x1c])).contains("overlap"));
    assert!(file(with(64 + 4, &[6])).contains("no executable segment"));
    let packed = [&good[..0x100], b"UPX!", &good[0x104..]].concat();
    assert!(file(packed).contains("packed by UPX"));
    let program = Sample { needed: vec!["liba.so"], ..Sample::of(Assembly::new().ret()) };
    let arm = Sample { machine: Some(183), ..library("f", 1) };
    assert!(
        error(&image(program, &[("/lib/liba.so", arm)])).contains("links liba.so"),
        "passed over, as by the loader"
    );
    let alone = Sample { interpreter: Some(LOADER), ..Sample::of(Assembly::new().ret()) };
    assert!(
        error(&SampleImage::default().with("/app", alone.bytes())).contains("names the loader /lib64/ld.so")
    );
}

/// A file with section headers: its code, and so many symbols, whose names end with each other.
fn sectioned(mut file: Vec<u8>, symbols: usize, longest: usize) -> Vec<u8> {
    let strings = file.len() as u64;
    file.push(0);
    file.resize(file.len() + longest, b'a');
    file.push(0);
    let names = file.len() as u64;
    file.extend(b"\0.text\0.symtab\0");
    file.resize(file.len().next_multiple_of(8), 0);
    let table = file.len() as u64;
    for number in 0..symbols {
        // STT_FUNC in section 1.
        file.extend((1 + (number % 3) as u32).to_le_bytes());
        file.extend([2, 0, 1, 0]);
        file.extend((CODE + number as u64 % 3).to_le_bytes());
        file.extend(0u64.to_le_bytes());
    }
    let headers = file.len() as u64;
    let rows: [[u64; 7]; 5] = [
        [0; 7],
        // name, type, flags, address, offset, size, link: SHT_PROGBITS, SHF_ALLOC and SHF_EXECINSTR.
        [1, 1, 6, CODE, CODE, 0x10, 0],
        [0, 3, 0, 0, strings, longest as u64 + 2, 0],
        [7, 2, 0, 0, table, symbols as u64 * 24, 2],
        [0, 3, 0, 0, names, 16, 0],
    ];
    for [name, kind, flags, address, offset, size, link] in rows {
        file.extend((name as u32).to_le_bytes());
        file.extend((kind as u32).to_le_bytes());
        [flags, address, offset, size].iter().for_each(|word| file.extend(word.to_le_bytes()));
        file.extend((link as u32).to_le_bytes());
        file.extend(0u32.to_le_bytes());
        [8u64, 24].iter().for_each(|word| file.extend(word.to_le_bytes()));
    }
    file[40..48].copy_from_slice(&headers.to_le_bytes());
    file[60..62].copy_from_slice(&(rows.len() as u16).to_le_bytes());
    file[62..64].copy_from_slice(&4u16.to_le_bytes());
    file
}

#[test]
fn code_that_is_perhaps_unpacked_has_no_bound() {
    let mut file = Sample::of(Assembly::new().eax(60).syscall().ret()).bytes();
    // PF_W of the segment of the code.
    file[64 + 4] = 7;
    let reach = of(&SampleImage::default().with("/app", file.clone()));
    assert_eq!(kinds(&reach), ["packed"]);
    assert!(!reach.is_bounded());
    // More memory than bytes of the file.
    file[64 + 4] = 5;
    file[64 + 40..64 + 48].copy_from_slice(&0x100u64.to_le_bytes());
    assert_eq!(kinds(&of(&SampleImage::default().with("/app", file))), ["packed"]);
    // mov $protection, %edx; mov $10, %eax: mprotect, in a file without sections.
    let protects = |protection: u8| {
        let code = Assembly::new().raw(&[0xba, protection, 0, 0, 0]).eax(10).syscall().ret();
        Sample::of(code).bytes()
    };
    assert_eq!(kinds(&of(&SampleImage::default().with("/app", protects(5)))), ["packed"]);
    assert_eq!(kinds(&of(&SampleImage::default().with("/app", protects(1)))), [""; 0]);
    let whole = sectioned(protects(5), 1, 4);
    assert_eq!(kinds(&of(&SampleImage::default().with("/app", whole))), [""; 0], "it has sections");
}

#[test]
fn counts_beyond_the_limits_are_one_line() {
    let file = |bytes: Vec<u8>| error(&SampleImage::default().with("/app", bytes));
    let good = Sample::of(Assembly::new().eax(60).syscall().ret()).bytes();
    // Few bytes of many names.
    let many = file(sectioned(good.clone(), 20_000, 16_000));
    assert_eq!(many, "/app: has more than 268435456 bytes of names, which is more than is analysed");
    let with = |at: usize, bytes: &[u8]| {
        let mut file = sectioned(good.clone(), 4, 8);
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    };
    let programs = file(with(56, &[0xfe, 0xff]));
    assert!(programs.contains("program header table"), "e_phnum: {programs}");
    let sections = file(with(60, &[0xfe, 0xff]));
    assert!(sections.contains("section header table"), "e_shnum: {sections}");
    // Segments at different addresses that have the same bytes.
    let mut shared = good.clone();
    let length = 8u64 << 20;
    shared.resize(length as usize, 0x90);
    for (number, at) in [64usize, 64 + 56, 64 + 112].into_iter().enumerate() {
        shared[at..at + 4].copy_from_slice(&1u32.to_le_bytes());
        shared[at + 4..at + 8].copy_from_slice(&5u32.to_le_bytes());
        for (word, value) in [(8, 0), (16, number as u64 * length), (24, 0), (32, length), (40, length)] {
            shared[at + word..at + word + 8].copy_from_slice(&value.to_le_bytes());
        }
    }
    assert!(file(shared).contains("segment (several have the same bytes)"));
}

#[test]
fn tables_that_lead_into_each_other_end() {
    // Each step: lea table(%rip), %rdi; cmp $255, %eax; jmp *%rdi. The table has all steps.
    const STEPS: usize = 300;
    let (mut code, mut starts) = (Assembly::new(), Vec::new());
    for _ in 0..STEPS {
        starts.push(code.here());
        code = code.rdi_address(DATA).raw(&[0x3d, 0xff, 0, 0, 0]).eax(39).syscall().raw(&[0xff, 0xe7]);
    }
    let mut sample = Sample::of(code.ret());
    sample.pointers = vec![0; STEPS / 2];
    let mut file = sample.bytes();
    let distances: Vec<u8> =
        starts.iter().flat_map(|to| ((*to as i32) - DATA as i32).to_le_bytes()).collect();
    file[DATA as usize..][..distances.len()].copy_from_slice(&distances);
    let reach = of(&SampleImage::default().with("/app", file));
    assert_eq!(calls(&reach), ["getpid"]);
    assert_eq!(kinds(&reach), ["functions"]);
}

#[test]
fn an_answer_is_read_back_as_it_was() {
    let call = Assembly::new().raw(&[0xba, 1, 0, 0, 0]).eax(10).syscall().raw(&[0x8b, 0x07]).syscall().ret();
    let mut reach = alone(&Sample::of(call));
    reach.named.insert("/bin/app".to_owned());
    assert!(!reach.is_bounded() && reach.calls["mprotect"].arguments[&2].is_some());
    let text = reach.json(None).to_string();
    let mut again = Reach::read(text.as_bytes()).expect("an answer");
    assert_eq!(again, reach);
    // A kind that a newer remit adds.
    let newer = text.replace("\"kind\":\"number\"", "\"kind\":\"newer\"");
    again = Reach::read(newer.as_bytes()).expect("an answer");
    assert!(!again.is_bounded());
    mutation::each(&[text.as_bytes()], |bytes| match Reach::read(bytes) {
        Ok(reach) => assert!(reach.json(None).is_object()),
        Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
    });
}

#[test]
fn any_bytes_are_analysed_or_refused() {
    let at = CODE + 0x40;
    let code = Assembly::new().edi(39).call(at).call_slot(0).rsi_address(at).ret().until(at).raw(&WRAPPER);
    let x86_64 = Sample {
        imports: vec!["f", "dlopen"],
        needed: vec!["liba.so"],
        runpath: Some("$ORIGIN/lib"),
        pointers: vec![at],
        texts: vec!["liba.so"],
        exports: vec![("main", CODE)],
        interpreter: Some(LOADER),
        ..Sample::of(code)
    };
    let mut others = image(x86_64.clone(), &[("/lib/liba.so", library("f", 102))]);
    // mov x8, #172; svc #0; ret
    let words: [u32; 3] = [0xd280_1588, 0xd400_0001, 0xd65f_03c0];
    let code = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let aarch64 = Sample { code, machine: Some(183), entry: CODE, ..Sample::default() };
    let with_sections = sectioned(Sample::of(Assembly::new().eax(39).syscall().ret()).bytes(), 6, 8);
    let seeds = [x86_64.bytes(), aarch64.bytes(), with_sections];
    assert_eq!(calls(&of(&others)), ["getpid", "getuid", "mmap"]);
    assert_eq!(calls(&alone(&aarch64)), ["getpid", "rt_sigreturn"]);
    // Headers, code and tables; the zeros between them are nothing to a reader.
    let shortened: Vec<Vec<u8>> = seeds.to_vec();
    let seeds: Vec<&[u8]> = shortened.iter().map(Vec::as_slice).collect();
    mutation::each(&seeds, |bytes| {
        others.0.insert("/app".into(), bytes.to_vec());
        match analyse(&others, Path::new("/app"), &[]) {
            Ok(reach) => assert!(!reach.text(None).is_empty() && reach.json(None).is_object()),
            Err(error) => assert!(!error.to_string().contains('\n')),
        }
    });
}
