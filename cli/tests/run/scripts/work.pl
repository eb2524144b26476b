use strict; use warnings;
my %count; while (<STDIN>) { $count{$_}++ for split } 
print "$_ $count{$_}\n" for sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count;
open my $out, ">", "$ARGV[0]/file" or die; print $out "line $_\n" for 1..1000; close $out;
open my $in, "<", "$ARGV[0]/file" or die; my @lines = <$in>; print scalar(@lines), " $lines[-1]";
print join(",", map { sprintf "%.3f", sqrt $_ } 1..10), "\n";
my $text = "x" x 100; $text =~ s/(x{7})/length $1/ge; print "$text\n";
eval { die { code => 3 } }; print "caught $@->{code}\n";
local $SIG{ALRM} = sub { print "alarm\n" }; alarm 1; select undef, undef, undef, 5;
local $SIG{USR1} = sub { print "usr1\n" }; kill USR1 => $$;
print -s "data/words", " ", join(" ", (stat "data/words")[7, 9]), "\n";
opendir my $dir, "data" or die; print join(" ", sort grep { !/^\./ } readdir $dir), "\n";
print scalar gmtime(0), "\n"; warn "careful\n"; exit 12;
