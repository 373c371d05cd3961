# Plack's test suite for servers, in two processes that talk through the proxy.
#
# usage: plack.pl serve       the application. Serves the listening socket it inherits as file descriptor 0.
#        plack.pl ask PORT    the client, with the checks
#
# Both report in TAP: one check, whether the application is told of the response's end, is the application's.
use strict;
use warnings;
use Plack::Handler::FCGI;
use Plack::LWPish;
use Plack::Middleware::Lint;
use Plack::Test::Suite;
use Test::More;

my ($mode, $port) = @ARGV;
if ($mode eq 'serve') {
    my $application = Plack::Middleware::Lint->wrap(Plack::Test::Suite->test_app_handler);
    print STDERR "ready\n";
    Plack::Handler::FCGI->new->run($application);
    exit;
}

my $client = Plack::LWPish->new(no_proxy => ['127.0.0.1']);
my $number = 0;
Plack::Test::Suite->runtests(sub {
    my ($name, $test) = @_;
    my $index = $number++;
    note $name;
    $test->(sub {
        my $request = shift;
        $request->uri->port($port);
        # The application's side of the test is found by this.
        $request->header('X-Plack-Test' => $index);
        return $client->request($request);
    });
});
done_testing;
