"""The demo: one catalogue app in two skins over one cache, driven and measured.

    progress    one line that shows how far a long job is
    rows        the made-up products and orders
    folder      where the database is kept between runs
    database    makes the database, whole or not at all
    catalogue   the slow reports, as plain functions
    reports     the same reports, cached, for blocking and for asyncio code
    watch       a hook that notes how long reports took and whether Redis failed
    page        the index page
    flask_app   fastapi_app   the skins
    servers     web servers in a thread
    skins       a skin with its layer and its server, up and running
    findings    what the answers amount to, and what is wrong with them
    driver      asks for the reports and times the answers
    table       what is printed
    command     the subcommand `demo`

Frameworks and servers are imported only when the demo runs: they come with the extra ``holdfast[demo]``.
"""
