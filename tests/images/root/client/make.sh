#!/bin/sh
# What packages and Dockerfiles of official images leave behind, once the files are there.
set -e
useradd -m -s /bin/sh alice
useradd -r node
echo alice:secret | chpasswd
install -d -o alice -g alice /home/alice/.ssh /home/alice/Maildir
mkdir -p /run/sshd /etc/ssh
ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/client_key
install -m 600 -o alice -g alice /etc/ssh/client_key.pub /home/alice/.ssh/authorized_keys
chmod 640 /etc/ssh/client_key
install -d -m 1777 /usr/local/apache2/logs
install -d /srv/more /run/apache2 /run/dovecot /run/vsftpd/empty /var/log/apache2 /var/spool/rsyslog
install -d -o www-data -g www-data /var/lib/nginx/put /var/lib/nginx/in
install -d -o haproxy -g haproxy /var/lib/haproxy
install -d -o memcache -g memcache /run/memcached
install -d -o redis -g redis /data
install -d -o 65534 /prometheus /etc/prometheus
chown 65534 /etc/prometheus/app.yml
chown -R haproxy /usr/local/etc/haproxy
install -d -o mosquitto -g mosquitto /mosquitto/data /mosquitto/log
install -d -m 1777 /var/lib/postgresql/data /run/postgresql /run/mysqld
install -d /var/lib/caddy /var/lib/nats /var/lib/etcd-app /var/lib/influxdb
chown influxdb /var/lib/influxdb
chmod 644 /etc/cron.d/app
cp /usr/share/postfix/main.cf.debian /etc/postfix/main.cf
cp /usr/share/postfix/master.cf.dist /etc/postfix/master.cf
: >/etc/mime.types

# Where official images have programs that are elsewhere in Debian.
cp /usr/bin/memcached /usr/bin/node /usr/local/bin/
cp /usr/sbin/haproxy /usr/local/sbin/
cp /usr/sbin/php-fpm8.2 /usr/local/sbin/php-fpm
install -d /usr/local/apache2/bin /opt/java
cp /usr/sbin/apache2 /usr/local/apache2/bin/httpd
ln -s /usr/lib/apache2/modules /usr/local/apache2/modules
ln -s /usr/lib/jvm/java-17-openjdk-amd64 /opt/java/openjdk
cp /usr/bin/python3.11 /usr/local/bin/python3
for name in gunicorn uvicorn; do sed '1s,.*,#!/usr/local/bin/python3,' /usr/bin/$name >/usr/local/bin/$name; done
chmod 755 /usr/local/bin/gunicorn /usr/local/bin/uvicorn
