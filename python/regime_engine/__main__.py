from regime_engine.cli import main

main()
