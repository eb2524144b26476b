# Jobs, pipes and signals of bash, dash and busybox's shell.
seq 1 2000 >/tmp/numbers
for shell in bash dash "busybox sh"; do
    echo "== $shell"
    $shell -c '
        mkfifo /tmp/soon.$$; (read x </tmp/soon.$$; echo late) & (echo soon; echo >/tmp/soon.$$) & wait; rm /tmp/soon.$$
        sleep 100 & kill $!; wait $!; echo "killed: $?"
        for i in 1 2 3 4; do (exit $i) & pids="$pids $!"; done; for pid in $pids; do wait $pid; echo "status $?"; done
        sort -rn /tmp/numbers | (sed -n "1,3p"; cat >/dev/null) | tr "\n" " " | cat; echo
        seq 1 2000 | busybox awk "{ n += \$1 } END { print n }" & seq 1 2000 | tail -n 1 >/tmp/last & wait; cat /tmp/last
        trap "echo hang up" HUP; (kill -HUP $$) & wait; trap - HUP
        mkfifo /tmp/fifo.$$; (for i in 1 2 3; do echo line $i; done >/tmp/fifo.$$) & while read line; do echo "got $line"; done </tmp/fifo.$$; rm /tmp/fifo.$$
        yes | head -n 2000 | wc -l
        { echo out; echo error >&2; } 2>&1 | sort
        cat <<EOF | while read word; do echo "[$word]"; done
one
two
EOF
        x=$(echo inner | { read y; echo $y; (exit 3); }); echo "$x $?"
        exec 3>/tmp/three; echo to three >&3; exec 3>&-; cat /tmp/three
        trap "echo bye" EXIT
    ' 2>&1 | sed 's/^[a-z]*: line [0-9]*: *[0-9]* /JOB: /; /Terminated/d'
done
bash -c '
    set -o pipefail
    diff <(seq 1 10) <(seq 1 11); false | true; echo "$?" "${PIPESTATUS[@]}"
    coproc CAT { cat; }; echo through a coprocess >&"${CAT[1]}"; read -r line <&"${CAT[0]}"; echo "$line"; eval "exec ${CAT[1]}>&-"; wait
    declare -A map=([a]=1 [b]=2); for key in "${!map[@]}"; do echo "$key ${map[$key]}"; done | sort
    jobs -l | wc -l; sleep 100 & jobs -r | sed "s/  */ /g"; kill $!; wait -n; echo $?
    mapfile -t lines < <(head -n 3 /tmp/numbers); echo "${lines[*]}"
    [[ "version 5.2" =~ ([0-9]+)\.([0-9]+) ]] && echo "${BASH_REMATCH[@]}"
    printf "%s\n" {1..5}{a,b} | paste -s -d " "
    read -t 0.1 never < <(sleep 1); echo "$?"
    time_out() { ( sleep 100 & pid=$!; trap "kill $pid" TERM; wait $pid ) & kill -TERM $!; wait $!; echo "$?"; }; time_out
' 2>&1
