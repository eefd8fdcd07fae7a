ready() { await accepts 21; }
work() {
    get ftp://127.0.0.1/pub/
    get ftp://127.0.0.1/pub/hello
    get -T /etc/hostname ftp://alice:secret@127.0.0.1/up
    get ftp://alice:secret@127.0.0.1/up | wc -l
}
