# Runs the project $2 of the compose file in the folder $1; when standard input ends, takes it down with its volumes and
# removes the folder.
dir=$1
project=$2
trap '' HUP INT QUIT TERM
cd "$dir" || exit 1
. ./env.sh

{
  docker compose --project-name "$project" --file docker-compose.yml up --detach --wait >out.log 2>&1 </dev/null &
  echo $! >up.pid
  wait $!
  echo $? >ended
} &

while read -r _; do :; done

[ -e ended ] || kill "$(cat up.pid)" 2>/dev/null
wait
docker compose --project-name "$project" --file docker-compose.yml down --volumes --timeout 1 </dev/null
status=$?
cd /
rm -rf "$dir" || exit 1
exit $status
