"""Writes orders in transactions of its own, from several connections, and publishes each one in its transaction. A third of
the transactions is rolled back.

usage: outbox_orders.py DATABASE ORDERS CONNECTIONS

DATABASE is a postgres:// URL, or the path of a SQLite file. Prints the number of committed orders.
"""

import json
import sqlite3
import sys
import threading


class RolledBack(Exception):
    """Ends a transaction that is not committed."""


def open_postgres(url):
    import psycopg
    from psycopg.types.json import Jsonb

    connection = psycopg.connect(url)

    def write(number):
        with connection.transaction():
            connection.execute('INSERT INTO shop_orders VALUES (%s)', (number,))
            publish = 'SELECT tidings_publish(%s, %s, %s, %s)'
            connection.execute(publish, ('orders', 'order.placed', Jsonb({'id': number}), f'placed-{number}'))
            connection.execute(publish, ('orders', 'order.paid', Jsonb({'id': number}), None))
            if number % 3 == 0:
                raise RolledBack

    return write


def open_sqlite(path):
    connection = sqlite3.connect(path, timeout=60)

    def write(number):
        with connection:
            connection.execute('INSERT INTO shop_orders VALUES (?)', (number,))
            insert = 'INSERT INTO outbox (channel, type, data, key) VALUES (?, ?, ?, ?)'
            connection.execute(insert, ('orders', 'order.placed', json.dumps({'id': number}), f'placed-{number}'))
            connection.execute(insert, ('orders', 'order.paid', json.dumps({'id': number}), None))
            if number % 3 == 0:
                raise RolledBack

    return write


def work(database, numbers, failures):
    try:
        write = (open_postgres if database.startswith('postgres://') else open_sqlite)(database)
        for number in numbers:
            try:
                write(number)
            except RolledBack:
                pass
    except BaseException as error:
        failures.append(error)
        raise


def main():
    database, orders, connections = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    failures = []
    threads = [
        threading.Thread(target=work, args=(database, range(first, orders, connections), failures))
        for first in range(connections)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise SystemExit(1)
    print(sum(1 for number in range(orders) if number % 3))


main()
