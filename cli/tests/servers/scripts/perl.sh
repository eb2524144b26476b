# The full perl: modules in C and in perl, processes, pipes, sockets, threads, storage.
cp /opt/work.pl /tmp; perl /tmp/work.pl; echo "exit code $?"
perl -MO=Deparse,-p -e 'print $a + $b * 2' 2>&1; perl -c /tmp/work.pl 2>&1; perl -e 'use Missing::Module' 2>&1 | cut -c 1-60; perldoc -l perl 2>&1 | cut -c 1-40
printf 'b 2\na 1\n' | perl -lane 'push @x, $F[0]; END { print join ",", sort @x }'; perl -i -pe 's/use strict/no strict/' /tmp/work.pl && sed -n 2p /tmp/work.pl
