//! Options that a variable brings: those that load nothing, and those that name a path. What is
//! in none of these lists is unknown.

use super::named::{NamedPath, PathUse, Unknown, each, path};

const UNKNOWN: &str = "it is none of the options that are known to load nothing";

/// Who reads the options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VariableOptions {
    /// GLIBC_TUNABLES, the C library's.
    Tunables,
    /// node, and V8.
    Node,
    /// ruby.
    Ruby,
    /// perl.
    Perl,
    /// java.
    Java,
}

impl VariableOptions {
    const fn grammar(self) -> &'static Grammar {
        match self {
            VariableOptions::Tunables => &TUNABLES,
            VariableOptions::Node => &NODE,
            VariableOptions::Ruby => &RUBY,
            VariableOptions::Perl => &PERL,
            VariableOptions::Java => &JAVA,
        }
    }
}

/// The options of one reader.
struct Grammar {
    /// Options stand between these bytes.
    separators: &'static [u8],
    /// Options that load nothing, whatever stands behind their `=`; here as below, a blank between.
    harmless: &'static str,
    /// The beginnings of options that a number ends, with its unit.
    numbers: &'static str,
    /// The beginnings of options that a path ends, or paths with this byte between them, and how it
    /// is used; where the byte is `=`, what stands behind it is the option's own.
    paths: &'static [(&'static str, u8, PathUse)],
    /// Options whose path, used as a module, is the next word.
    next: &'static str,
    /// `-D` sets a property.
    properties: bool,
}

/// GLIBC_TUNABLES: numbers of the allocator and of threads. None of them changes what is loaded, or
/// a guard (The GNU C Library manual, Tunables).
static TUNABLES: Grammar = Grammar {
    separators: b":",
    harmless: "",
    numbers: "glibc.malloc.arena_max= glibc.malloc.arena_test= glibc.malloc.hugetlb= \
        glibc.malloc.mmap_max= glibc.malloc.mmap_threshold= glibc.malloc.mxfast= \
        glibc.malloc.tcache_count= glibc.malloc.tcache_max= glibc.malloc.top_pad= \
        glibc.malloc.trim_threshold= glibc.pthread.rseq= glibc.pthread.stack_cache_size= \
        glibc.rtld.optional_static_tls=",
    paths: &[],
    next: "",
    properties: false,
};

/// node(1) and V8: names with `_` are the same.
static NODE: Grammar = Grammar {
    separators: b" ",
    harmless: "--disable-warning --dns-result-order --enable-source-maps --experimental-fetch \
        --experimental-json-modules --experimental-specifier-resolution \
        --experimental-strip-types --experimental-vm-modules --expose-gc \
        --force-node-api-uncaught-exceptions-policy --jitless --network-family-autoselection \
        --no-deprecation --no-experimental-fetch --no-experimental-require-module \
        --no-network-family-autoselection --no-warnings --openssl-legacy-provider \
        --pending-deprecation --throw-deprecation --trace-deprecation --trace-uncaught \
        --trace-warnings --unhandled-rejections --use-bundled-ca --use-openssl-ca \
        --use-system-ca",
    numbers: "--max-http-header-size= --max-old-space-size= --max-old-space-size-percentage= \
        --max-semi-space-size= --stack-trace-limit= --v8-pool-size=",
    paths: &[
        ("--require=", 0, PathUse::Module),
        ("--import=", 0, PathUse::Module),
        ("--loader=", 0, PathUse::Module),
        ("--experimental-loader=", 0, PathUse::Module),
        ("--icu-data-dir=", 0, PathUse::All),
    ],
    next: "-r --require --import --loader --experimental-loader",
    properties: false,
};

/// ruby(1).
static RUBY: Grammar = Grammar {
    separators: b" ",
    harmless: "--enable-frozen-string-literal --enable-yjit --jit --yjit -W0 -W1 -W2 -W:no-deprecated \
        -W:no-experimental -w",
    numbers: "--yjit-exec-mem-size=",
    paths: &[("-I", b':', PathUse::All), ("-r", 0, PathUse::Module)],
    next: "-r",
    properties: false,
};

/// perlrun(1). `-M` brings code: what stands behind its `=` is a part of a statement.
static PERL: Grammar = Grammar {
    separators: b" ",
    harmless: "-CA -CS -CSA -CSD -CSDA -T -W -X -t -w",
    numbers: "",
    paths: &[("-I", 0, PathUse::All)],
    next: "",
    properties: false,
};

/// java(1). A property of a library's own may name a file: its value is a word or a path.
static JAVA: Grammar = Grammar {
    separators: b" \t\n",
    harmless: "--add-exports --add-opens --enable-native-access --enable-preview --illegal-access \
        -Dfile.encoding -Djava.awt.headless -Djava.net.preferIPv4Stack \
        -Djava.net.preferIPv6Addresses -Djava.security.egd -Dnetworkaddress.cache.ttl \
        -Dstderr.encoding -Dstdout.encoding -Dsun.net.inetaddr.ttl -Duser.country \
        -Duser.language -Duser.timezone -XX:+AlwaysPreTouch -XX:+CrashOnOutOfMemoryError \
        -XX:+DisableExplicitGC -XX:+ExitOnOutOfMemoryError -XX:+HeapDumpOnOutOfMemoryError \
        -XX:+OptimizeStringConcat -XX:+ParallelRefProcEnabled -XX:+PerfDisableSharedMem \
        -XX:+UnlockExperimentalVMOptions -XX:+UseCompactObjectHeaders -XX:+UseCompressedOops \
        -XX:+UseContainerSupport -XX:+UseG1GC -XX:+UseNUMA -XX:+UseParallelGC -XX:+UseSerialGC \
        -XX:+UseShenandoahGC -XX:+UseStringDeduplication -XX:+UseZGC -XX:+ZGenerational \
        -XX:-OmitStackTraceInFastThrow -XX:-UseContainerSupport -XX:-UsePerfData -Xrs \
        -Xshare:auto -Xshare:off -client -ea -server",
    numbers: "-XX:ActiveProcessorCount= -XX:CICompilerCount= -XX:ConcGCThreads= -XX:G1HeapRegionSize= \
        -XX:G1ReservePercent= -XX:InitialRAMPercentage= -XX:InitiatingHeapOccupancyPercent= \
        -XX:MaxDirectMemorySize= -XX:MaxGCPauseMillis= -XX:MaxMetaspaceSize= -XX:MaxRAM= \
        -XX:MaxRAMPercentage= -XX:MetaspaceSize= -XX:MinRAMPercentage= -XX:ParallelGCThreads= \
        -XX:ReservedCodeCacheSize= -XX:SoftMaxHeapSize= -XX:ThreadStackSize= \
        -XX:TieredStopAtLevel= -Xmn -Xms -Xmx -Xss",
    paths: &[
        ("@", 0, PathUse::All),
        ("-javaagent:", b'=', PathUse::All),
        ("-agentpath:", b'=', PathUse::All),
        ("-Xbootclasspath/a:", b':', PathUse::All),
        ("--class-path=", b':', PathUse::All),
        ("--module-path=", b':', PathUse::All),
    ],
    next: "",
    properties: true,
};

/// The paths that options name.
///
/// # Errors
/// An option that is in no list, or whose value is no path.
pub(super) fn named(reader: VariableOptions, value: &[u8]) -> Result<Vec<NamedPath<'_>>, Unknown<'_>> {
    let grammar = reader.grammar();
    if value.iter().any(|byte| b"\"'\\".contains(byte)) {
        return Err(Unknown { part: value, why: "it has quotes" });
    }
    let mut all = Vec::new();
    let mut words = value.split(|byte| grammar.separators.contains(byte)).filter(|word| !word.is_empty());
    while let Some(word) = words.next() {
        let begins = |start: &str| word.get(..start.len()).is_some_and(|begin| same(start, begin));
        if grammar.next.split_ascii_whitespace().any(|option| same(option, word)) {
            all.push(module(words.next().unwrap_or_default())?);
        } else if let Some((start, separator, used)) = grammar.paths.iter().find(|(start, ..)| begins(start))
        {
            let rest = &word[start.len()..];
            match (separator, used) {
                (0, PathUse::Module) => all.push(module(rest)?),
                (0, used) => all.push(path(rest, *used)?),
                (b'=', used) => {
                    let (rest, own) = halves(rest);
                    all.push(path(rest, *used)?);
                    all.extend(words_or_paths(own)?);
                }
                (separator, used) => {
                    all.extend(each(rest, &[*separator], &|part| path(part, *used).map(Some))?);
                }
            }
        } else if is_harmless(grammar, word) {
        } else if grammar.properties && word.starts_with(b"-D") && !is_of_the_jvm(&word[2..]) {
            all.extend(words_or_paths(halves(word).1)?);
        } else {
            return Err(Unknown { part: word, why: UNKNOWN });
        }
    }
    Ok(all)
}

/// Whether an option loads nothing: it is in the list, or ends in a number.
fn is_harmless(grammar: &Grammar, word: &[u8]) -> bool {
    let is_number = |rest: &[u8]| {
        rest.first().is_some_and(u8::is_ascii_digit)
            && rest.iter().all(|byte| byte.is_ascii_hexdigit() || b"xkKmMgGtT.%".contains(byte))
    };
    let has_value = word.starts_with(b"--") || word.starts_with(b"-D");
    let name = if has_value { halves(word).0 } else { word };
    let ends = |start: &str| {
        word.get(..start.len()).is_some_and(|begin| same(start, begin)) && is_number(&word[start.len()..])
    };
    grammar.harmless.split_ascii_whitespace().any(|option| same(option, name))
        || grammar.numbers.split_ascii_whitespace().any(ends)
}

/// Whether it is this option; in a long one `_` is as good as `-`.
fn same(option: &str, word: &[u8]) -> bool {
    let is_long = option.starts_with("--");
    let as_listed = |byte: &u8| if is_long && *byte == b'_' { b'-' } else { *byte };
    option.len() == word.len() && option.bytes().eq(word.iter().map(as_listed))
}

/// A property that the JVM or its own library reads.
fn is_of_the_jvm(name: &[u8]) -> bool {
    const OWN: [&str; 8] = ["java.", "javax.", "jdk.", "sun.", "com.sun.", "org.xml.", "openj9.", "user."];
    OWN.iter().any(|start| name.starts_with(start.as_bytes()))
}

/// What stands before the first `=`, and what stands behind it.
fn halves(word: &[u8]) -> (&[u8], &[u8]) {
    let end = word.iter().position(|byte| *byte == b'=').unwrap_or(word.len());
    (&word[..end], word.get(end + 1..).unwrap_or_default())
}

/// A module by its path; `file://` may stand before it.
fn module(text: &[u8]) -> Result<NamedPath<'_>, Unknown<'_>> {
    path(text.strip_prefix(b"file://").unwrap_or(text), PathUse::Module)
}

/// The paths of a value that consists of words and paths, and is no URL.
fn words_or_paths(value: &[u8]) -> Result<Vec<NamedPath<'_>>, Unknown<'_>> {
    let is_word = |part: &[u8]| part.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(byte));
    if value.windows(2).any(|two| two == b"//") {
        return Err(Unknown { part: value, why: UNKNOWN });
    }
    each(value, b":,;=", &|part| if is_word(part) { Ok(None) } else { path(part, PathUse::All).map(Some) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(reader: VariableOptions, value: &str) -> Option<Vec<String>> {
        let named = named(reader, value.as_bytes()).ok()?;
        Some(named.iter().map(|named| String::from_utf8_lossy(named.path).into_owned()).collect())
    }

    #[test]
    fn options_load_nothing_or_name_a_path_or_are_unknown() {
        for (reader, value, named) in [
            (VariableOptions::Node, "--max-old-space-size=4096 --enable-source-maps  --no-warnings", &[][..]),
            (VariableOptions::Node, "--max_old_space_size=4096 --unhandled-rejections=strict", &[]),
            (
                VariableOptions::Node,
                "--require /app/x.js --import=file:///app/y.mjs -r /z.js",
                &["/app/x.js", "/app/y.mjs", "/z.js"],
            ),
            (
                VariableOptions::Java,
                "-Xmx512m -Xms64M -XX:MaxRAMPercentage=75.0 -XX:+UseG1GC -Dfile.encoding=UTF-8",
                &[],
            ),
            (
                VariableOptions::Java,
                "--add-opens=java.base/java.lang=ALL-UNNAMED -Dspring.profiles.active=prod,eu",
                &[],
            ),
            (
                VariableOptions::Java,
                "-javaagent:/otel.jar=9404:/etc/otel.yaml -Dlog.file=/l",
                &["/otel.jar", "/etc/otel.yaml", "/l"],
            ),
            (
                VariableOptions::Java,
                "@/tmp/file -Xbootclasspath/a:/a.jar:/b.jar",
                &["/tmp/file", "/a.jar", "/b.jar"],
            ),
            (
                VariableOptions::Ruby,
                "-W0 --yjit -I/a:/b -r/usr/lib/ruby/bundler/setup",
                &["/a", "/b", "/usr/lib/ruby/bundler/setup"],
            ),
            (VariableOptions::Perl, "-w -I/usr/share/perl", &["/usr/share/perl"]),
            (VariableOptions::Tunables, "glibc.malloc.arena_max=2:glibc.malloc.mmap_threshold=0x20000", &[]),
        ] {
            assert_eq!(
                paths(reader, value).as_deref(),
                Some(&named.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>()[..]),
                "{value}"
            );
        }
        for (reader, value) in [
            (VariableOptions::Node, "--require dd-trace/init"),
            (VariableOptions::Node, "--require"),
            (VariableOptions::Node, "--inspect=0.0.0.0"),
            (VariableOptions::Node, "--max-old-space-size=4096\t--require=x"),
            (VariableOptions::Node, "--import data:text/javascript,evil()"),
            (VariableOptions::Node, "--import \"/app/x\""),
            (VariableOptions::Node, "--import=file:///app/%2e%2e/tmp/x.mjs"),
            (VariableOptions::Java, "-XX:OnOutOfMemoryError=evil"),
            (VariableOptions::Java, "-XX:Flags=1"),
            (VariableOptions::Java, "-agentlib:jdwp=transport=dt_socket"),
            (VariableOptions::Java, "-javaagent:evil.jar"),
            (VariableOptions::Java, "-javaagent:/byteman.jar=script:evil.btm"),
            (VariableOptions::Java, "-Djava.library.path=/usr/lib"),
            (VariableOptions::Java, "-Dcom.sun.management.jmxremote.port=1"),
            (VariableOptions::Java, "-Dlog4j.configurationFile=evil.xml"),
            (VariableOptions::Java, "-Dlog4j.configurationFile=http://evil/x"),
            (VariableOptions::Java, "-Xmx512m-javaagent"),
            (VariableOptions::Java, "@file"),
            (VariableOptions::Java, "-Xlog:gc:file=/tmp/x"),
            (VariableOptions::Ruby, "-rbundler/setup"),
            (VariableOptions::Ruby, "-e0"),
            (VariableOptions::Perl, "-Mstrict"),
            (VariableOptions::Perl, "-wMevil"),
            (VariableOptions::Tunables, "glibc.malloc.mxfast=glibc.malloc.mxfast=A"),
            (VariableOptions::Tunables, "glibc.cpu.x86_shstk=off"),
        ] {
            assert_eq!(paths(reader, value), None, "{value}");
        }
    }
}
