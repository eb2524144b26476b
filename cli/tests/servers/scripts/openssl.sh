# A TLS server and clients over loopback, and the speed test with its timers and processes.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout /tmp/key -out /tmp/cert -days 30 -subj /CN=localhost -config /dev/null \
    -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:TRUE 2>/dev/null
seq 1 20000 >/tmp/numbers
openssl s_server -accept 127.0.0.1:4433 -cert /tmp/cert -key /tmp/key -WWW -quiet 2>/tmp/errors &
server=$!
ask() { printf 'GET /%s HTTP/1.0\r\n\r\n' "$1" | openssl s_client -connect 127.0.0.1:4433 -servername localhost -verify_hostname localhost -CAfile /tmp/cert -verify_return_error -quiet -ign_eof $2 2>/tmp/said; }
until ask numbers >/tmp/got && [ -s /tmp/got ]; do sleep 0.1; done
tail -n +4 /tmp/got | md5sum
for version in -tls1_2 -tls1_3; do
    ask numbers "$version" | md5sum
done
ask missing | head -n 1
openssl s_client -connect 127.0.0.1:4433 -CAfile /tmp/cert -brief </dev/null 2>&1 | grep -E 'version|Ciphersuite|Verification'
openssl s_client -connect 127.0.0.1:4433 -verify_return_error </dev/null 2>&1 | grep -E 'verify error|Verification'
openssl s_client -connect 127.0.0.1:4434 </dev/null 2>&1 | tail -n 1
kill $server
# Whether the shell remarks on it depends on who is faster.
{ wait $server; echo $?; } 2>/dev/null
openssl speed -seconds 1 -bytes 1024 -evp sha256 2>/dev/null | sed -n 's/^\(sha256\) .*/\1 was measured/p'
openssl speed -seconds 1 -multi 2 ecdsap256 2>/dev/null | grep -c -E 'ecdsa'
