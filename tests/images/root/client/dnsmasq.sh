. /client/unbound.sh
ZONE=/etc/app-hosts
