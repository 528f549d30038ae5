"""As whom, signed how, sent where?"""
