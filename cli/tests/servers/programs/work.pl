# What perl programs do: modules in C and in perl, processes, pipes, signals, sockets, files, threads.
use strict; use warnings;
use POSIX qw(:sys_wait_h :signal_h :fcntl_h floor strftime dup2 setlocale LC_ALL);
use Socket qw(:DEFAULT :crlf IPPROTO_TCP TCP_NODELAY getaddrinfo);
use IO::Select; use IO::Socket::INET; use IO::Socket::UNIX; use IO::Handle; use IO::Poll; use IO::Pipe;
use Time::HiRes qw(usleep clock_gettime CLOCK_MONOTONIC setitimer ITIMER_REAL);
use Storable qw(freeze thaw nstore retrieve dclone); use Digest::SHA qw(sha256_hex sha512_base64); use Digest::MD5 'md5_hex';
use File::Temp 'tempdir'; use File::Find; use File::Path 'make_path'; use File::Copy; use Fcntl ':flock'; use Cwd;
use List::Util qw(sum shuffle first reduce); use Scalar::Util qw(weaken reftype); use Data::Dumper; use Encode; use JSON::PP;
use MIME::Base64; use Math::BigInt; use Math::BigFloat; use Text::Wrap; use Tie::File; use IPC::Open3; use Errno; use Compress::Zlib; use Unicode::Normalize;
use Config; use threads; use threads::shared; use Thread::Queue;
$| = 1; $Data::Dumper::Sortkeys = 1; $Data::Dumper::Indent = 1;

print floor(-1.5), ' ', strftime('%F %T', gmtime 86400), ' ', POSIX::strtol('ff', 16), ' ', getcwd(), "\n";
print sha256_hex('abc'), ' ', sha512_base64('abc'), ' ', md5_hex('abc'), ' ', encode_base64("\0\xff" x 4), Math::BigInt->new(2)->bpow(200), "\n";
my $data = { list => [1 .. 3], map => { a => undef, b => "\x{263a}" } };
nstore $data, '/tmp/stored'; print Dumper(retrieve('/tmp/stored'), dclone(thaw(freeze([1, { x => 2 }]))));
print JSON::PP->new->canonical->ascii->encode($data), ' ', length(encode('UTF-8', NFD("\x{e9}t\x{e9}"))), ' ', length(uncompress(compress('x' x 10000))), "\n";
my @order = sort { $a <=> $b } map { $_ * 7919 % 1009 } 1 .. 1000; print sum(@order), ' ', first { $_ > 500 } @order; print "\n";

# Processes, statuses and pipes.
my %status; for my $code (0 .. 3) { my $pid = fork // die; exit $code unless $pid; $status{$pid} = $code }
while ((my $pid = wait) > 0) { die unless $status{$pid} == $? >> 8; delete $status{$pid} } print 'left: ', scalar(%status), "\n";
my $killed = fork // die; unless ($killed) { sleep 100; exit } kill TERM => $killed; waitpid $killed, 0; print WIFSIGNALED($?) ? WTERMSIG($?) : 'no', "\n";
pipe my $r, my $w; if (!fork) { close $r; print $w "line $_\n" for 1 .. 1000; exit } close $w; my $lines = () = <$r>; wait; print "$lines lines\n";
print `echo from a shell; exit 3`, $? >> 8, ' ', system('sh', '-c', 'exit 4') >> 8, ' ', system('/missing/program') == -1 ? "$!" : 'started', "\n";
my $pid = open3(my $in, my $out, undef, 'tr', 'a-z', 'A-Z'); print $in "shout\n"; close $in; print <$out>; waitpid $pid, 0;
open my $pipe, '|-', 'sort -rn | head -n 2' or die; print $pipe "$_\n" for 1 .. 20; close $pipe;

# Signals and timers.
my $hits = 0; local $SIG{ALRM} = sub { $hits++ }; setitimer(ITIMER_REAL, 0.01, 0.01); my $begun = clock_gettime(CLOCK_MONOTONIC);
usleep 2000 until $hits >= 5; setitimer(ITIMER_REAL, 0); print clock_gettime(CLOCK_MONOTONIC) - $begun >= 0.04 ? "5 alarms\n" : "too early\n";
eval { local $SIG{ALRM} = sub { die "timeout\n" }; alarm 1; 1 while 1 }; print $@;
my $blocked = POSIX::SigSet->new(SIGUSR1); my $got = 0; $SIG{USR1} = sub { $got++ }; sigprocmask(SIG_BLOCK, $blocked); kill USR1 => $$;
print $got; sigprocmask(SIG_UNBLOCK, $blocked); print "$got\n";
my $reaped = 0; $SIG{CHLD} = sub { $reaped++ while waitpid(-1, WNOHANG) > 0 }; for (1 .. 5) { exit unless fork // die } usleep 1000 until $reaped == 5; $SIG{CHLD} = 'DEFAULT'; print "reaped\n";

# Sockets: a server that is a process, clients with select.
my $server = IO::Socket::INET->new(Listen => 16, LocalAddr => '127.0.0.1', ReuseAddr => 1) or die $@; my $port = $server->sockport;
my $child = fork // die;
if (!$child) {
    my $select = IO::Select->new($server);
    while (1) { for my $ready ($select->can_read) {
        if ($ready == $server) { $select->add(scalar $server->accept); next }
        my $line = <$ready>; if (!defined $line) { $select->remove($ready); close $ready; next } exit if $line =~ /quit/; print $ready scalar reverse($line =~ s/\s+$//r), $CRLF;
    } }
}
my @clients = map { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) // die } 1 .. 10; $_->sockopt(IPPROTO_TCP, TCP_NODELAY), $_->autoflush for @clients;
print { $clients[$_] } "client $_$CRLF" for 0 .. 9; print map { (readline $_) =~ s/\s+$/ /r } @clients; print "\n"; print { $clients[0] } "quit\n"; waitpid $child, 0; print $?, "\n";
socketpair my $one, my $other, AF_UNIX, SOCK_STREAM, PF_UNSPEC or die; syswrite $one, 'x' x 100; shutdown $one, 1; my $all = do { local $/; <$other> }; print length $all, "\n";
close $server; my $refused = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port); print defined $refused ? 'connected' : $!{ECONNREFUSED} ? 'refused' : "$!", "\n";

# Files.
my $dir = tempdir(CLEANUP => 1); make_path("$dir/a/b/c"); open my $file, '+>', "$dir/a/file" or die; flock $file, LOCK_EX; print $file "$_\n" for 1 .. 100; close $file;
copy "$dir/a/file", "$dir/a/b/copy"; tie my @lines, 'Tie::File', "$dir/a/b/copy"; $lines[49] = 'fifty'; splice @lines, 0, 10; print scalar @lines, " $lines[39]\n"; untie @lines;
find({ wanted => sub { print s/^\Q$dir\E//r, ' ', -s, "\n" if -f }, preprocess => sub { sort @_ } , no_chdir => 1}, $dir);
local $Text::Wrap::columns = 40; print wrap('', '  ', 'word ' x 20), "\n"; printf "%s %s\n", $Config{useithreads} ? 'threads' : 'none', $];

# Threads.
my $total :shared = 0; my $queue = Thread::Queue->new; my @workers = map { threads->create(sub { my $n = 0; while (defined(my $job = $queue->dequeue)) { { lock $total; $total += $job } $n++ } $n }) } 1 .. 4;
$queue->enqueue(1 .. 400); $queue->end; my $jobs = sum map { $_->join } @workers; print "$jobs jobs, $total\n";
warn "to standard error\n"; eval { die { code => 5 } }; exit $@->{code};
