#!/usr/bin/perl
# An app's script that does what an intruder has it do: exits with 42 when it was
# possible, else with the errno of what was not.
use strict;
use Socket;

my %does = (
    web_shell => sub {
        my $code = system { "/bin/sh" } "sh", "-c", "exit 42";
        exit($code == -1 ? $! + 0 : $code >> 8 || 13);
    },
    reverse_shell => sub {
        socket(my $there, PF_INET, SOCK_STREAM, 0) or exit $! + 0;
        connect($there, sockaddr_in(8080, INADDR_LOOPBACK)) or exit $! + 0;
        open(STDIN, "<&", $there);
        open(STDOUT, ">&", $there);
        exec { "/bin/sh" } "sh", "-c", "exit 42";
        exit $! + 0;
    },
);
$does{ $ARGV[0] }->();
