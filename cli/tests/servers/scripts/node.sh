# Node.js 24 as a program: its script, and what its command line does with errors and endings.
mkdir /tmp/app && cd /tmp/app
node /opt/work.mjs 2>errors; echo "exit code $?"; grep -v '^ *at ' errors
node -e 'throw new Error("plain")' 2>&1 | grep Error; node --check /opt/work.mjs; echo $?
node -e 'let n = 0; process.stdin.on("data", (part) => { n += part.length; }).on("end", () => console.log(n))' <lines.gz
echo 'console.log(1 + 1); process.exit(4)' | node -; echo $?; node -p '[1, 2].map((x) => x ** 2)'; node --no-such-option; echo $?
{ node -e 'process.abort()'; } 2>/dev/null; echo $?
node -e 'process.kill(process.pid, "SIGKILL")'; echo $?
echo 'const cluster = require("node:cluster"); if (cluster.isPrimary) cluster.fork().on("exit", (code) => console.log("worker", code)); else process.exit(6)' >cluster.cjs
node cluster.cjs
