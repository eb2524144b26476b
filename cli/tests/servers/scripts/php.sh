# php: its own web server, and a client of it; processes, streams, JSON, expressions, dates, exceptions.
mkdir /tmp/site
cat >/tmp/site/index.php <<'END'
<?php
header('X-Kind: test');
echo json_encode(['path' => $_SERVER['REQUEST_URI'], 'method' => $_SERVER['REQUEST_METHOD'], 'body' => file_get_contents('php://input')]), "\n";
END
php8.2 -n -S 127.0.0.1:8000 -t /tmp/site /tmp/site/index.php 2>/tmp/errors &
server=$!
until busybox wget -q -O /dev/null http://127.0.0.1:8000/ 2>/dev/null; do sleep 0.05; done
php8.2 -n <<'END'
<?php
echo file_get_contents('http://127.0.0.1:8000/a?b=c');
$options = ['http' => ['method' => 'POST', 'content' => 'some body', 'header' => 'Content-Type: text/plain']];
echo file_get_contents('http://127.0.0.1:8000/', false, stream_context_create($options));
$words = explode(' ', 'the quick brown fox'); usort($words, 'strcmp'); echo implode(' ', $words), "\n";
function primes(int $to): Generator { for ($i = 2; $i < $to; $i++) { for ($j = 2; $j * $j <= $i; $j++) if ($i % $j == 0) continue 2; yield $i; } }
echo implode(' ', iterator_to_array(primes(50), false)), "\n";
echo preg_replace_callback('/\d+/', fn ($m) => $m[0] * 2, 'a1b22c333'), ' ', hash('sha256', 'x'), ' ', crc32('x'), "\n";
$process = proc_open(['tr', 'a-z', 'A-Z'], [['pipe', 'r'], ['pipe', 'w']], $pipes);
fwrite($pipes[0], "shout\n"); fclose($pipes[0]); echo stream_get_contents($pipes[1]), proc_close($process), "\n";
echo shell_exec('seq 1 5 | tac | tr "\n" " "'), "\n";
[$one, $other] = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, 0);
fwrite($one, 'ping'); $read = [$other]; $none = null; echo stream_select($read, $none, $none, 5), fread($other, 10), "\n";
echo date('c', 86400), ' ', intdiv(PHP_INT_MAX, 3), ' ', 0.1 + 0.2, ' ', serialize([1, 'a' => null]), "\n";
file_put_contents('/tmp/data', serialize(range(1, 1000))); echo array_sum(unserialize(file_get_contents('/tmp/data'))), "\n";
try { intdiv(1, 0); } catch (DivisionByZeroError $error) { echo get_class($error), ': ', $error->getMessage(), "\n"; }
usleep(1000); exit(7);
END
echo "exit code $?"
kill -INT $server
wait $server
