set -eu
fact() { if [ "$1" -le 1 ]; then r=1; else fact $(($1 - 1)) 2>/dev/null || :; r=$((r * $1)); fi; }
for word in one "two words" three; do echo "<$word> ${#word} ${word%o*}"; done
i=0; while [ $i -lt 5 ]; do i=$((i + 1)); case $i in 2) continue;; 4) break;; esac; echo $i; done
while read -r a rest; do echo "$rest:$a"; done < data/numbers > "$1/out"
read -r first < "$1/out"; echo "first: $first"
cat() { while IFS= read -r line; do echo "$line"; done; }
cat <<END
here $((6 * 7)) ${HOME} ${UNSET:-default}
END
trap 'echo bye' EXIT
cd data/deep && pwd > /dev/null && echo *
test -f er/binary && [ ! -e nothing ] && echo there
echo to-stderr >&2
umask 027; umask; kill -l 15; type echo; echo "$0 $# $*"
printf '%s\n' "${1##*/}" > /dev/null
exit 9
