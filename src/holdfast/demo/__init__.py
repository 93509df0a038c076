"""The demo: one catalogue app in two skins over one cache, driven and measured.

    progress    one line that shows how far a long job is
    rows        the made-up products and orders
    folder      where the database is kept between runs
    database    makes the database, whole or not at all
    catalogue   the slow reports, as plain functions
    reports     the same reports, cached, for blocking and for asyncio code
    page        the index page
    flask_app   fastapi_app   the skins
    skins       a skin with its server, up and running
    driver      asks for the reports and times the answers
    findings    what the answers amount to, and what is wrong with them
    table       what is printed
    command     the subcommand `demo`

Frameworks and servers are imported only when the demo runs: they come with the extra ``holdfast[demo]``.
"""
