#!/bin/sh
# nginx with two workers that count requests in shared memory, and 20,000 requests.
dir=$(mktemp -d) && cd "$dir" || exit
port=$((20000 + $$ % 20000))
echo hello >index.html
cat >nginx.conf <<END
worker_processes 2;
pid $dir/pid;
error_log $dir/error.log;
events { worker_connections 256; }
http {
    access_log off;
    limit_req_zone \$binary_remote_addr zone=one:1m rate=100000r/s;
    server {
        listen 127.0.0.1:$port;
        root $dir;
        location / { limit_req zone=one burst=100000 nodelay; }
    }
}
END
chmod 755 "$dir"
nginx -c "$dir/nginx.conf" -p "$dir" || exit
ab -q -n 20000 -c 4 "http://127.0.0.1:$port/index.html" >ab.log || exit
grep -q 'Complete requests: *20000' ab.log || exit
kill "$(cat pid)"
while [ -e pid ]; do sleep 0.02; done
rm -rf "$dir"
