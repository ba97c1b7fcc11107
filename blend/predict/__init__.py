"""Trained blends on anybody's video.

__main__.py: `python -m blend.predict`: trained blends on anybody's video.
annotate.py: One video frame with what was predicted: boxes on the picture, and beside it a panel for each face.
features.py: Crops of a new video -> the features that the heads read, by the networks and settings they learnt from.
folder.py: The folder of one predicted video: everything that is left there, whole, and DONE last.
frames.py: Frames in memory -> a file without loss, which is read as anybody's video is.
predictor.py: Trained blends on anybody's video, in Python: ready for one video after the other.
pretrained_blends.py: A network by itself in a blend's place: its own expressions, valence and arousal.
run.py: Several videos, one after the other, into a folder each; and what was found in them, for people.
scores.py: Features of a new video -> what the heads predict -> what the blend makes of it, frame by frame.
source.py: What is predicted: a video file, a folder of face crops (`<video>/00001.jpg`) or of pictures, with its faces.
stream.py: A camera, an address or a pipe, predicted frame by frame: JSON lines, and pictures to look at.
table.py: The predictions of a video as a table.
timeline.py: timeline.html: a video's predictions to look through in any browser, offline.
trained_blends.py: Trained blends for new videos: params.json, the models of the heads, and the networks.
video_writer.py: Drawn frames -> an MP4 that browsers play.
"""
