# An application on Perl's FCGI module. Serves the listening socket it inherits as file descriptor 0.
use strict;
use warnings;
use FCGI;
use IO::Handle;
use Time::HiRes qw(sleep);

my %env;
# The standard streams are kept apart from the request's, so that the log stays a log.
my ($in, $out, $err) = (IO::Handle->new, IO::Handle->new, IO::Handle->new);
my $request = FCGI::Request($in, $out, $err, \%env, 0, FCGI::FAIL_ACCEPT_ON_INTR);

print STDERR "ready\n";
while ($request->Accept() >= 0) {
    my ($path) = split /\?/, $env{REQUEST_URI} // '';
    my %query = map { my ($name, $value) = split /=/, $_, 2; ($name => $value) }
        split /&/, $env{QUERY_STRING} // '';
    if ($path eq '/echo') {
        echo();
    } elsif ($path eq '/stderr') {
        print $err "a line for the error log\n";
        print $out "Content-Type: text/plain\r\n\r\nanswered\n";
    } elsif ($path eq '/early') {
        print $out "Content-Type: text/plain\r\n\r\nearly\n";
    } elsif ($path eq '/slow') {
        sleep(($query{ms} // 100) / 1000);
        print $out "Content-Type: text/plain\r\n\r\nawake\n";
    } else {
        print $out "Status: 404 Not Found\r\nContent-Type: text/plain\r\n\r\nno such path\n";
    }
    $request->Finish();
}

# Reads the whole body; answers with its length and hash (FNV-1a, 64 bits).
sub echo {
    my ($length, $hash) = (0, 0xcbf29ce484222325);
    while (read $in, my $piece, 16384) {
        use integer;    # multiplication modulo 2^64
        $length += length $piece;
        $hash = ($hash ^ $_) * 0x100000001b3 for unpack 'C*', $piece;
    }
    printf {$out} "Content-Type: text/plain\r\n\r\nlength=%d\nfnv1a64=%016x\n", $length, $hash;
}
