# Starts every node below the folder $1 with the server program $2; when standard input ends, kills all that came of it
# and removes the folder. Each node has a folder with an env.sh that sets, among RabbitMQ's own variables, MQBENCH_NODE to
# $1: every process that descends from a node carries it, the Erlang port mapper that outlives its nodes included, and
# only such processes are ended.
dir=$1
server=$2
trap '' HUP INT QUIT TERM

for settings in "$dir"/*/env.sh; do
  (
    trap - HUP INT QUIT TERM
    node=${settings%/*}
    cd "$node" || exit 1
    . "$settings"
    "$server" >out.log 2>&1 </dev/null
    echo $? >ended
  ) &
done

while read -r _; do :; done

ours() {
  grep -lzxF "MQBENCH_NODE=$dir" /proc/[0-9]*/environ 2>/dev/null |
    while IFS=/ read -r _ _ pid _; do echo "$pid"; done
}
rounds=0
pids=$(ours)
while [ -n "$pids" ] && [ $rounds -lt 100 ]; do
  kill -9 $pids 2>/dev/null
  sleep 0.05
  rounds=$((rounds + 1))
  pids=$(ours)
done
wait
cd /
rm -rf "$dir" || exit 1
[ -z "$pids" ] || { echo "still running: $pids"; exit 1; }
