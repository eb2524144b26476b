# nginx: a master and one worker; files, ranges, compression, a proxy to itself, a log, a reload, a graceful end.
mkdir /tmp/www
seq 1 100000 >/tmp/www/numbers
printf 'hello\n' >/tmp/www/index.html
cat >/tmp/conf <<END
user nobody nogroup;
worker_processes 1;
pid /tmp/pid;
error_log /tmp/errors notice;
events { worker_connections 64; }
http {
    log_format brief '\$request \$status \$body_bytes_sent';
    access_log /tmp/access brief;
    client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi;
    types { text/plain txt; text/html html; }
    default_type text/plain;
    sendfile on;
    server {
        listen 127.0.0.1:8080;
        root /tmp/www;
        location /text { return 200 "some text\n"; }
        location /packed/ { alias /tmp/www/; gzip on; gzip_types text/plain; }
        location /proxy/ { proxy_pass http://127.0.0.1:8080/; }
        location /limited { limit_except GET { deny all; } return 200 "fine\n"; }
    }
    server { listen unix:/tmp/socket; return 200 "over a socket\n"; }
}
END
# One request over a connection of its own; what changes with time is left out.
ask() { printf "$1" | busybox nc 127.0.0.1 8080 | sed '/^Date:/d; /^Last-Modified:/d; /^ETag:/d'; }
nginx -t -c /tmp/conf 2>&1
nginx -c /tmp/conf
ask 'GET / HTTP/1.0\r\n\r\n'
ask 'HEAD /numbers HTTP/1.0\r\n\r\n'
ask 'GET /numbers HTTP/1.0\r\nRange: bytes=100-119\r\n\r\n'
ask 'GET /text HTTP/1.1\r\nHost: a\r\n\r\nGET /missing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'
ask 'GET /packed/numbers HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n' | grep -a -i '^content-'
ask 'POST /limited HTTP/1.0\r\nContent-Length: 4\r\n\r\nbody'
ask 'nonsense\r\n\r\n'
for i in 1 2 3 4 5 6 7 8; do
    busybox wget -q -O /tmp/copy.$i http://127.0.0.1:8080/proxy/numbers &
done
wait
md5sum /tmp/copy.* /tmp/www/numbers
perl -MIO::Socket::UNIX -e '$s = IO::Socket::UNIX->new("/tmp/socket") or die $!; print $s "GET / HTTP/1.0\r\n\r\n"; print grep { !/^Date/ } <$s>'
sed 's/some text/other text/' /tmp/conf >/tmp/new && mv /tmp/new /tmp/conf
nginx -c /tmp/conf -s reload 2>/dev/null
until [ "$(busybox wget -q -O - http://127.0.0.1:8080/text)" = "other text" ]; do sleep 0.05; done
stat -c '%u %g %a' /tmp/proxy /tmp/access
nginx -c /tmp/conf -s quit 2>/dev/null
while [ -e /tmp/pid ]; do sleep 0.05; done
# How many bytes compression gives depends on the pieces it is given.
grep -v '^GET /text' /tmp/access | sed 's/^\(GET .packed.* 200\) .*/\1/' | sort
sed 's/.*\[\([a-z]*\)\] [^ ]* \(\*[0-9]* \)*//' /tmp/errors | sed 's/[0-9][0-9]*/N/g' | sort -u | grep -v -e '^OS: ' -e NOFILE -e SIGIO -e "is buffered to a temporary file"
